// Banana: what Twisted writes is read, however it is cut, and what we write is what Twisted writes.
#include "buildbot/banana.hpp"

#include "support/hex.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace banana_test {

using namespace remsh;
using namespace remsh::buildbot;

namespace {

using List = Expression::List;

Bytes banana(const Expression& expression, Vocabulary vocabulary = Vocabulary::pb) {
  Bytes bytes;
  append_banana(bytes, expression, vocabulary);
  return bytes;
}

/// The expressions in these bytes, which come in pieces of this size.
std::vector<Expression> read_in_pieces(BytesView bytes, std::size_t size) {
  BananaReader reader({});
  std::vector<Expression> all;
  while (!bytes.empty()) {
    reader.feed(bytes.substr(0, size));
    bytes.remove_prefix(std::min(size, bytes.size()));
    for (;;) {
      const auto next = reader.next();
      REQUIRE_MESSAGE(next.ok(), next.failure().message);
      if (!next->has_value()) break;
      all.push_back(**next);
    }
  }
  return all;
}

Expression read(const std::string& hex) {
  const auto all = read_in_pieces(test::from_hex(hex), 1'000'000);
  REQUIRE(all.size() == 1);
  return all[0];
}

/// Whether these bytes are an expression within these limits, or the beginning of one: nothing or why not.
std::string why_not(const Bytes& bytes, const BananaLimits& limits = {}) {
  BananaReader reader(limits);
  reader.feed(bytes);
  const auto next = reader.next();
  if (next) return "";
  CHECK(next.failure().code == Errc::protocol_error);
  const auto again = reader.next();
  REQUIRE_FALSE(again.ok());
  CHECK(again.failure().message == next.failure().message);
  return next.failure().message;
}

std::string why_not_hex(const std::string& hex, const BananaLimits& limits = {}) {
  return why_not(test::from_hex(hex), limits);
}

bool says(const std::string& message, const std::string& words) { return message.find(words) != std::string::npos; }

struct Example {
  Expression expression;
  std::string by_twisted;  // what Twisted's banana writes in the dialect "pb"
};

const std::vector<Example>& examples() {
  static const std::vector<Example> all{
      {0, "0081"},
      {1, "0181"},
      {127, "7f81"},
      {128, "000181"},
      {std::int64_t{2147483647}, "7f7f7f7f0781"},
      {std::int64_t{2147483648}, "000000000885"},
      {std::int64_t{4294967295}, "7f7f7f7f0f85"},
      {std::int64_t{4294967296}, "000000001085"},
      {INT64_MAX, "7f7f7f7f7f7f7f7f7f85"},
      {-1, "0183"},
      {-127, "7f83"},
      {-128, "000183"},
      {std::int64_t{-2147483647}, "7f7f7f7f0783"},
      {std::int64_t{-2147483648}, "000000000883"},
      {std::int64_t{-2147483649}, "010000000886"},
      {std::int64_t{-4294967296}, "000000001086"},
      {-INT64_MAX, "7f7f7f7f7f7f7f7f7f86"},
      {INT64_MIN, "0000000000000000000186"},
      {0.0, "840000000000000000"},
      {-0.0, "848000000000000000"},
      {1.5, "843ff8000000000000"},
      {-2.25, "84c002000000000000"},
      {1e308, "847fe1ccf385ebc8a0"},
      {std::numeric_limits<double>::denorm_min(), "840000000000000001"},
      {std::numeric_limits<double>::infinity(), "847ff0000000000000"},
      {-std::numeric_limits<double>::infinity(), "84fff0000000000000"},
      {0.1, "843fb999999999999a"},
      {"", "0082"},
      {"a", "018261"},
      {Bytes("\0\xff", 2), "028200ff"},
      {"list", "0887"},
      {"login", "1487"},
      {"unicode", "0782756e69636f6465"},
      {Expression::list("pb", "none"), "02800282706204826e6f6e65"},
      {Expression::list("tuple", Expression::list("tuple"), Expression::list("tuple", 1, Expression::list("tuple", 2))),
       "03800b8701800b8703800b87018102800b870281"},
  };
  return all;
}

/// The first messages of a recorded session of a worker 3.7, and some later ones, as they came.
constexpr std::string_view recorded =
    "02827062 028013870681 07801a8701810482726f6f741487018102800b870282773101800587"
    "07801a87028101810782726573706f6e64018103800b87108251c82514385727246f9f3b27ad4956ac02801087018101800587"
    "02801d870181 03801b87018101800187"
    "07801a87048103810682757064617465018102800b87028008870380088702800587028002800782756e69636f646506827374646f7574"
    "02800782756e69636f646504826f75740a008101800587"
    "07801a871281078105827574696d65018102800b8703800b878441dac03783541db38441dac03783543f4f01800587"
    "07801a8733810f810682757064617465018102800b87028008870380088702800587028002800782756e69636f64650282726301830081"
    "01800587";

std::vector<Expression> recorded_expressions() {
  const Expression none = Expression::list("dictionary");
  const auto text = [](const char* utf8) { return Expression(Expression::list("unicode", utf8)); };
  const auto update = [&](const char* key, const Expression& value) {
    const Expression pairs = Expression::list("dictionary", Expression::list(text(key), value));
    return Expression(Expression::list("tuple", Expression::list("list", Expression::list("list", pairs, 0))));
  };
  const Expression digest = test::from_hex("51c82514385727246f9f3b27ad4956ac");
  return {"pb",
          Expression::list("version", 6),
          Expression::list("message", 1, "root", "login", 1, Expression::list("tuple", "w1"), none),
          Expression::list("message", 2, 1, "respond", 1,
                           Expression::list("tuple", digest, Expression::list("remote", 1)), none),
          Expression::list("decref", 1),
          Expression::list("answer", 1, Expression::list("None")),
          Expression::list("message", 4, 3, "update", 1, update("stdout", text("out\n")), none),
          Expression::list("message", 18, 7, "utime", 1,
                           Expression::list("tuple", Expression::list("tuple", 1795218957.3143127, 1795218957.316364)),
                           none),
          Expression::list("message", 51, 15, "update", 1, update("rc", -1), none)};
}

/// n empty lists in each other.
Bytes nested(std::size_t n) {
  Bytes bytes;
  for (std::size_t i = 1; i < n; ++i) bytes += "\x01\x80";
  return bytes + Bytes("\0\x80", 2);
}

}  // namespace

TEST_CASE("expressions are read as Twisted writes them, and written as Twisted writes them") {
  for (const Example& example : examples()) {
    CAPTURE(example.by_twisted);
    CHECK(read(example.by_twisted) == example.expression);
    CHECK(test::to_hex(banana(example.expression)) == example.by_twisted);
  }
  CHECK(std::signbit(*read("848000000000000000").get_if<double>()));
  CHECK(std::isnan(*read("847ff8000000000000").get_if<double>()));
}

TEST_CASE("without a vocabulary, words are written as strings") {
  CHECK(test::to_hex(banana(Expression::list("list", Expression::list(1), -1), Vocabulary::none)) ==
        "038004826c697374018001810183");
  CHECK(test::to_hex(banana(Expression::list("pb", "none"), Vocabulary::none)) == "02800282706204826e6f6e65");
}

TEST_CASE("every word of the vocabulary has its number") {
  const std::vector<const char*> words{
      "None",      "class",     "dereference",   "reference",    "dictionary",    "function", "instance",
      "list",      "module",    "persistent",    "tuple",        "unpersistable", "copy",     "cache",
      "cached",    "remote",    "local",         "lcache",       "version",       "login",    "password",
      "challenge", "logged_in", "not_logged_in", "cachemessage", "message",       "answer",   "error",
      "decref",    "decache",   "uncache"};
  REQUIRE(words.size() == 31);
  for (std::size_t i = 0; i < words.size(); ++i) {
    const Bytes bytes{static_cast<char>(i + 1), '\x87'};
    CHECK(banana(words[i]) == bytes);
    CHECK(read_in_pieces(bytes, 1) == std::vector<Expression>{words[i]});
  }
  CHECK(says(why_not_hex("0087"), "the vocabulary has no such word"));
  CHECK(says(why_not_hex("87"), "the vocabulary has no such word"));
  CHECK(says(why_not_hex("2087"), "the vocabulary has no such word"));
  CHECK(says(why_not_hex("010187"), "the vocabulary has no such word"));
}

TEST_CASE("a recorded session is read the same wherever it is cut, and is written the same") {
  const Bytes bytes = test::from_hex(recorded);
  const auto wanted = recorded_expressions();
  for (std::size_t size = 1; size <= bytes.size(); ++size) {
    CAPTURE(size);
    REQUIRE(read_in_pieces(bytes, size) == wanted);
  }
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    CAPTURE(cut);
    BananaReader reader({});
    std::vector<Expression> all;
    for (const BytesView part : {BytesView(bytes).substr(0, cut), BytesView(bytes).substr(cut)}) {
      reader.feed(part);
      for (auto next = reader.next(); next.value(); next = reader.next()) all.push_back(**next);
    }
    REQUIRE(all == wanted);
  }
  Bytes written;
  for (const Expression& expression : wanted) append_banana(written, expression);
  CHECK(test::to_hex(written) == test::to_hex(bytes));
}

TEST_CASE("the beginning of an expression is no expression yet") {
  for (const Expression& expression : recorded_expressions()) {
    const Bytes bytes = banana(expression);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      BananaReader reader({});
      reader.feed(BytesView(bytes).substr(0, size));
      const auto next = reader.next();
      REQUIRE(next.ok());
      CHECK_FALSE(next->has_value());
    }
  }
}

TEST_CASE("zero may have no digits, and a number may have zeros at its end") {
  CHECK(read("81") == Expression(0));
  CHECK(read("83") == Expression(0));
  CHECK(read("0083") == Expression(0));
  CHECK(read("82") == Expression(""));
  CHECK(read("80") == Expression(Expression::list()));
  CHECK(read("0180 80") == Expression(Expression::list(Expression(Expression::list()))));
  CHECK(read("0100000000000000000081") == Expression(1));
  CHECK(read("0287") == Expression("class"));
  CHECK(read("020087") == Expression("class"));
}

TEST_CASE("an int of 64 bits is read, with any of its types, and one beyond is refused") {
  for (const char* type : {"81", "85"}) {
    CAPTURE(type);
    CHECK(read(std::string("7f7f7f7f7f7f7f7f7f") + type) == Expression(INT64_MAX));
    CHECK(says(why_not_hex(std::string("00000000000000000001") + type), "an int has more than 64 bits"));
    CHECK(says(why_not_hex(std::string("7f7f7f7f7f7f7f7f7f01") + type), "an int has more than 64 bits"));
  }
  for (const char* type : {"83", "86"}) {
    CAPTURE(type);
    CHECK(read(std::string("00000000000000000001") + type) == Expression(INT64_MIN));
    CHECK(says(why_not_hex(std::string("01000000000000000001") + type), "an int has more than 64 bits"));
  }
}

TEST_CASE("a number of more digits than 64 bits have is refused before its type has come") {
  CHECK(why_not_hex("7f7f7f7f7f7f7f7f7f01").empty());
  CHECK(says(why_not_hex("7f7f7f7f7f7f7f7f7f02"), "a number has more than 64 bits"));
  CHECK(why_not_hex("00000000000000000000").empty());
  CHECK(says(why_not_hex("0000000000000000000000"), "a number has more than 64 bits"));
  for (const char* type : {"80", "82", "87"})
    CHECK_FALSE(why_not_hex(std::string("7f7f7f7f7f7f7f7f7f01") + type).empty());
}

TEST_CASE("a type that is none is refused, and a float with a number") {
  for (int type = 0x88; type <= 0xff; ++type) {
    const Bytes bytes{'\1', static_cast<char>(type)};
    CHECK(says(why_not(bytes), "there is no type " + std::to_string(type)));
  }
  CHECK(says(why_not_hex("01843ff8000000000000"), "a float begins with a number"));
}

TEST_CASE("a string as long as the limit is read, and a longer one is refused before it has come") {
  CHECK(read("0382616263") == Expression("abc"));
  CHECK(why_not_hex("0382", {.string = 3}).empty());
  CHECK(says(why_not_hex("0482", {.string = 3}), "a string has more than 3 bytes"));
  const Bytes longest(655'360, 's');
  CHECK(read_in_pieces(banana(longest), 65'536) == std::vector<Expression>{longest});
  CHECK(why_not_hex("000028"
                    "82")
            .empty());
  CHECK(says(why_not_hex("010028"
                         "82"),
             "a string has more than 655360 bytes"));
}

TEST_CASE("the elements of all lists of an expression are limited together, and again for the next expression") {
  const BananaLimits limits{.elements = 4};
  CHECK(why_not_hex("0480 81818181", limits).empty());
  CHECK(says(why_not_hex("0580", limits), "it has more than 4 elements"));
  CHECK(why_not_hex("0280 8102808181", limits).empty());
  CHECK(says(why_not_hex("0280 810380", limits), "it has more than 4 elements"));
  BananaReader reader(limits);
  for (int i = 0; i < 3; ++i) {
    reader.feed(test::from_hex("0480 81818181"));
    REQUIRE(reader.next().value().has_value());
  }
  CHECK(why_not_hex("000028"
                    "80")
            .empty());
  CHECK(says(why_not_hex("010028"
                         "80"),
             "it has more than 655360 elements"));
}

TEST_CASE("a list of as many elements as Twisted allows is read, though each has only one byte") {
  const Bytes bytes = test::from_hex(
                          "000028"
                          "80") +
                      Bytes(655'360, '\x81');
  const auto all = read_in_pieces(bytes, 10'000);
  REQUIRE(all.size() == 1);
  CHECK(all[0].get_if<List>()->size() == 655'360);
}

TEST_CASE("the bytes of an expression are limited, those of a string when it is announced") {
  CHECK(why_not_hex("0282 6162", {.bytes = 4}).empty());
  CHECK(says(why_not_hex("0282", {.bytes = 3}), "it has more than 3 bytes"));
  CHECK(says(why_not_hex("0280 8181", {.bytes = 3}), "it has more than 3 bytes"));
  CHECK(says(why_not_hex("84", {.bytes = 8}), "it has more than 8 bytes"));
  CHECK(why_not_hex("84", {.bytes = 9}).empty());
  BananaReader reader(BananaLimits{.bytes = 4});
  for (int i = 0; i < 3; ++i) {
    reader.feed(test::from_hex("0282 6162"));
    CHECK(reader.next().value() == Expression("ab"));
  }
}

TEST_CASE("lists are read to the depth of the limit, and no deeper") {
  for (const std::size_t depth : {std::size_t{1}, std::size_t{2}, BananaLimits().depth}) {
    CHECK(why_not(nested(depth), {.depth = depth}).empty());
    CHECK(says(why_not(nested(depth + 1), {.depth = depth}), "its lists are deeper than " + std::to_string(depth)));
  }
  CHECK(says(why_not(nested(100'000)), "its lists are deeper than 32"));
  CHECK(says(why_not(nested(1), {.depth = 0}), "its lists are deeper than 0"));
  CHECK(why_not_hex("0181", {.depth = 0}).empty());
}

TEST_CASE("new limits hold for an expression that has begun") {
  const std::vector<std::pair<std::string, BananaLimits>> cases{{"0582 6162", {.string = 4}},
                                                                {"0380 81", {.elements = 2}},
                                                                {"0380 81", {.bytes = 2}},
                                                                {"0180 0180", {.depth = 1}}};
  for (const auto& each : cases) {
    CAPTURE(each.first);
    BananaReader reader({});
    reader.feed(test::from_hex(each.first));
    REQUIRE_FALSE(reader.next().value().has_value());
    reader.set_limits(each.second);
    CHECK_FALSE(reader.next().ok());
  }
  BananaReader reader(BananaLimits{.string = 1});
  reader.feed(test::from_hex("0182 61"));
  REQUIRE(reader.next().value() == Expression("a"));
  reader.set_limits({});
  reader.feed(test::from_hex("0382 616263"));
  CHECK(reader.next().value() == Expression("abc"));
}

TEST_CASE("a reader that has failed stays so, whatever comes") {
  BananaReader reader({});
  reader.feed(test::from_hex("0181 88 0181"));
  CHECK(reader.next().value() == Expression(1));
  CHECK_FALSE(reader.next().ok());
  reader.feed(test::from_hex("0181"));
  CHECK_FALSE(reader.next().ok());
}

TEST_CASE("an expression of our own is written whatever its depth") {
  constexpr std::size_t depth = 2'000;  // its destructor nests its calls
  Expression expression = Expression::list();
  for (std::size_t i = 1; i < depth; ++i) {
    expression = Expression::list(std::move(expression));
  }
  CHECK(banana(expression) == nested(depth));
}

}  // namespace banana_test
