// Messages of remsh 1: boxes as the original makes and takes them.
#include "remsh1/message.hpp"

#include "golden/remsh1_session.hpp"
#include "support/hex.hpp"

#include <doctest/doctest.h>

#include <string>
#include <variant>
#include <vector>

using namespace remsh;
using namespace remsh::remsh1;
using remsh::test::from_hex;

namespace {

bool is_breach(const Result<Message>& message) { return !message && message.failure().code == Errc::protocol_error; }

}  // namespace

TEST_CASE("the register box of an original slave is understood, and ours is the same") {
  const Bytes recorded = from_hex(test::remsh1_golden::session[0].hex);
  BoxDecoder decoder;
  decoder.feed(recorded);
  REQUIRE(decoder.next());
  const Box box = decoder.box().copy();
  CHECK(Register::is_one(box));
  const auto registration = Register::from_box(box);
  REQUIRE(registration);
  CHECK(registration->hostname == "worker1");
  CHECK(registration->version == 1);
  CHECK(encode(registration->to_box()) == recorded);
}

TEST_CASE("a register box may have more keys, but must have these") {
  CHECK(Register::from_box({{"hostname", "w"}, {"more", "x"}, {"type", "register"}, {"version", "2"}})->version == 2);
  CHECK_FALSE(Register::from_box({{"hostname", "w"}, {"type", "register"}}));
  CHECK_FALSE(Register::from_box({{"hostname", "w"}, {"type", "register"}, {"version", ""}}));
  CHECK_FALSE(Register::from_box({{"hostname", "w"}, {"type", "register"}, {"version", "1.0"}}));
  CHECK_FALSE(Register::from_box({{"type", "register"}, {"version", "1"}}));
  CHECK_FALSE(Register::from_box({{"hostname", "w"}, {"type", "registered"}, {"version", "1"}}));
  CHECK_FALSE(Register::is_one({{"hostname", "w"}, {"version", "1"}}));
}

TEST_CASE("the answer to a registration is that of the original") {
  CHECK(from_hex(test::remsh1_golden::session[1].hex).starts_with(encode(registered_box())));
  CHECK(is_registered(registered_box()));
  CHECK(is_registered({{"type", "registered"}, {"more", "x"}}));
  CHECK_FALSE(is_registered({{"type", "register"}}));
}

TEST_CASE("a call has its tag and its command beside its arguments") {
  const Box box{{"_ask", "7"}, {"_command", "stat"}, {"pathname", "/"}};
  CHECK(remsh1::Call{"7", "stat", Box{{"pathname", "/"}}}.to_box() == box);
  auto message = parse(box);
  REQUIRE(message);
  const auto& call = std::get<remsh1::Call>(*message);
  CHECK(call.tag == "7");
  CHECK(call.command == "stat");
  CHECK(call.arguments == Box{{"pathname", "/"}});
}

TEST_CASE("a call without a tag is a breach, also where it wants no answer") {
  CHECK(is_breach(parse({{"_command", "data"}, {"data", "x"}})));
}

TEST_CASE("an answer has its tag, which may be any bytes, beside its results") {
  const Box box{{"_answer", ""}, {"cwd", "/"}};
  CHECK(Answer{"", Box{{"cwd", "/"}}}.to_box() == box);
  const auto message = parse(box);
  REQUIRE(message);
  CHECK(std::get<Answer>(*message).tag.empty());
  CHECK(std::get<Answer>(*message).results == Box{{"cwd", "/"}});
}

TEST_CASE("an error has all three keys when it is sent, and needs its description when it comes") {
  CHECK(ErrorAnswer{"9", "no"}.to_box() == Box{{"_error", "9"}, {"_error_code", "0"}, {"_error_description", "no"}});
  const auto message = parse({{"_error", "9"}, {"_error_description", "no"}});
  REQUIRE(message);
  CHECK(std::get<ErrorAnswer>(*message).tag == "9");
  CHECK(std::get<ErrorAnswer>(*message).description == "no");
  CHECK(is_breach(parse({{"_error", "9"}, {"_error_code", "0"}})));
}

TEST_CASE("a description that is too long for a value is cut") {
  CHECK(ErrorAnswer{"9", Bytes(70'000, 'x')}.to_box().get("_error_description")->size() == max_data);
}

TEST_CASE("a box of several kinds is an answer before an error before a call") {
  const auto answer = parse({{"_answer", "1"}, {"_ask", "2"}, {"_command", "x"}, {"_error", "3"}});
  REQUIRE(answer);
  CHECK(std::holds_alternative<Answer>(*answer));
  const auto error = parse({{"_ask", "2"}, {"_command", "x"}, {"_error", "3"}, {"_error_description", ""}});
  REQUIRE(error);
  CHECK(std::holds_alternative<ErrorAnswer>(*error));
  CHECK(is_breach(parse({{"type", "registered"}})));
}

TEST_CASE("tags are decimal and count from 1") {
  Tags tags;
  for (int i = 1; i < 10; ++i) CHECK(tags.next() == std::to_string(i));
  CHECK(tags.next() == "10");
}

TEST_CASE("any part of ny is a boolean, and only y is true") {
  CHECK(from_boolean("y") == true);
  CHECK(from_boolean("n") == false);
  CHECK(from_boolean("") == false);
  CHECK(from_boolean("ny") == false);
  CHECK_FALSE(from_boolean("yn").has_value());
  CHECK_FALSE(from_boolean("1").has_value());
  CHECK_FALSE(from_boolean("Y").has_value());
  CHECK(from_boolean(to_boolean(true)) == true);
  CHECK(from_boolean(to_boolean(false)) == false);
}

TEST_CASE("arguments are joined by zero bytes and come apart again") {
  const std::vector<Bytes> args{"sh", "", "-c", ""};
  CHECK(join_args(args) == Bytes("sh\0\0-c\0", 7));
  CHECK(split_args(join_args(args)) == args);
  CHECK(split_args("") == std::vector<Bytes>{""});
}

TEST_CASE("a return code is that of Python, where a signal counts below zero") {
  CHECK(*ReturnCode::from_text("3") == ReturnCode{3, {}});
  CHECK(*ReturnCode::from_text("0") == ReturnCode{0, {}});
  CHECK(*ReturnCode::from_text("-9") == ReturnCode{{}, 9});
  CHECK(ReturnCode{3, {}}.to_text() == "3");
  CHECK(ReturnCode{{}, 15}.to_text() == "-15");
  for (const char* const wrong : {"", " 1", "1 ", "+1", "x", "-", "99999999999", "-99999", "256", "-128"}) {
    CHECK_FALSE(ReturnCode::from_text(wrong));
  }
}

TEST_CASE("outputs have the names of the original") {
  CHECK(stream_of("stdout") == Stream::out);
  CHECK(stream_of("stderr") == Stream::err);
  CHECK_FALSE(stream_of("").has_value());
  CHECK_FALSE(stream_of("stdin").has_value());
}
