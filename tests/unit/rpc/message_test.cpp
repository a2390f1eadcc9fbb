// Messages: the bytes of every box of docs/protocol.md sections 2, 5, 6 and 8.
#include "rpc/message.hpp"
#include "base/decimal.hpp"

#include "connection/long_value.hpp"
#include "support/hex.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <cstring>
#include <string>

using namespace remsh;
using namespace remsh::rpc;
using remsh::test::from_hex;
using remsh::test::to_hex;

namespace {

Bytes call_bytes(BytesView command, BytesView tag, bool has_op, const Box& arguments) {
  Bytes out;
  REQUIRE(encode_call(out, command, tag, has_op, arguments));
  return out;
}

Bytes answer_bytes(BytesView tag, const Box& results) {
  Bytes out;
  REQUIRE(encode_answer(out, tag, results));
  return out;
}

Bytes error_bytes(BytesView tag, const Failure& failure) {
  Bytes out;
  encode_error(out, tag, failure);
  return out;
}

/// The first bytes of "hello" for a box.
BoxData hello(std::size_t count = 5) {
  Block block;
  std::memcpy(block.payload().data(), "hello", count);
  return BoxData::plain(std::move(block), count);
}

}  // namespace

TEST_CASE("a call is the bytes of the protocol's example") {
  CHECK(to_hex(call_bytes("stat", "7", false, {{"path", "/"}})) ==
        to_hex(from_hex("0004 5f61736b 0001 37   0008 5f636f6d6d616e64 0004 73746174   0004 70617468 0001 2f   0000")));
}

TEST_CASE("a call with streams carries its tag as op as well, at its place among the arguments") {
  CHECK(
      call_bytes("copy", "1f", true, {{"from", "a"}, {"overwrite", "1"}, {"to", "b"}}) ==
      encode(Box{{"_ask", "1f"}, {"_command", "copy"}, {"from", "a"}, {"op", "1f"}, {"overwrite", "1"}, {"to", "b"}}));
  CHECK(call_bytes("x", "1", true, {}) == encode(Box{{"_ask", "1"}, {"_command", "x"}, {"op", "1"}}));
}

TEST_CASE("keys on either side of the envelope are sorted in") {
  CHECK(call_bytes("x", "1", true, {{"A", "1"}, {"_b", "2"}, {"z", "3"}}) ==
        encode(Box{{"A", "1"}, {"_ask", "1"}, {"_b", "2"}, {"_command", "x"}, {"op", "1"}, {"z", "3"}}));
}

TEST_CASE("an answer carries the tag and the results") {
  CHECK(to_hex(answer_bytes("2", {})) == to_hex(from_hex("0007 5f616e73776572 0001 32 0000")));
  CHECK(answer_bytes("2", {{"exit", "0"}, {"op", "mine"}}) ==
        encode(Box{{"_answer", "2"}, {"exit", "0"}, {"op", "mine"}}));
}

TEST_CASE("a key of the envelope among the fields is refused") {
  for (const char* const key : {"_ask", "_command", "op"}) {
    Bytes out;
    const auto result = encode_call(out, "x", "1", true, {{key, "mine"}});
    REQUIRE_FALSE(result);
    CHECK(result.failure().code == Errc::invalid_argument);
    CHECK(result.failure().message.find(key) != std::string::npos);
  }
}

TEST_CASE("a value over 65535 bytes is cut, and one of 65535 is not") {
  CHECK(call_bytes("x", "1", false, {{"v", Bytes(65535, 'x')}}) ==
        encode(Box{{"_ask", "1"}, {"_command", "x"}, {"v", Bytes(65535, 'x')}}));
  CHECK(call_bytes("x", "1", false, {{"v", Bytes(65536, 'x')}}) ==
        encode(Box{{"_ask", "1"}, {"_command", "x"}, {"v", Bytes(65535, 'x')}, {"v~0001", "x"}}));
}

TEST_CASE("what one box cannot hold is refused with its size") {
  Bytes out;
  auto result = encode_call(out, "x", "1", false, {{"v", Bytes(8 * 1024 * 1024, 'x')}});
  REQUIRE_FALSE(result);
  CHECK(result.failure().code == Errc::too_large);

  Box many;
  for (int i = 0; i < 1022; ++i) many.set("k" + std::to_string(i), "");
  CHECK(encode_call(out, "x", "1", false, many));
  many.set("one more", "");
  out.clear();
  result = encode_call(out, "x", "1", false, many);
  REQUIRE_FALSE(result);
  CHECK(result.failure().code == Errc::too_large);
}

TEST_CASE("the largest call is a whole box for its receiver") {
  const std::size_t rest = call_limits.bytes - call_bytes("x", "1", false, {{"v", ""}}).size();
  for (std::size_t size = rest - 1200;; --size) {  // the continuations' keys take some of it
    Bytes out;
    if (!encode_call(out, "x", "1", false, {{"v", Bytes(size, 'x')}})) continue;
    CHECK(out.size() == call_limits.bytes);
    BoxDecoder decoder(call_limits);
    decoder.feed(out);
    CHECK(decoder.next());
    CHECK(decoder.error() == BoxError::none);
    break;
  }
}

TEST_CASE("a data box is framed around its payload") {
  auto made = hello();
  frame_data(made, "1f", StreamName::out, std::nullopt);
  CHECK(made.block().box() == encode(Box{{"_command", "data"}, {"data", "hello"}, {"op", "1f"}, {"stream", "out"}}));
  made = hello(4);
  frame_data(made, "1f", StreamName::err, 1234567890123);
  CHECK(
      made.block().box() ==
      encode(Box{{"_command", "data"}, {"data", "hell"}, {"op", "1f"}, {"stream", "err"}, {"total", "1234567890123"}}));
}

TEST_CASE("a data box can say when its bytes came") {
  auto made = hello();
  frame_data(made, "1f", StreamName::err, std::nullopt, {.at = 1795968000000001});
  CHECK(made.block().box() ==
        encode(
            Box{{"_command", "data"}, {"at", "1795968000000001"}, {"data", "hello"}, {"op", "1f"}, {"stream", "err"}}));
}

TEST_CASE("a data box of a log file has its number") {
  auto made = hello();
  frame_data(made, "1f", StreamName::log, std::nullopt, {.log = 2});
  CHECK(to_hex(Bytes(made.block().box())) ==
        to_hex(from_hex("0008 5f636f6d6d616e64 0004 64617461  0004 64617461 0005 68656c6c6f  0003 6c6f67 0001 32"
                        "0002 6f70 0002 3166  0006 73747265616d 0003 6c6f67  0000")));
}

TEST_CASE("the longest data box fits into its block") {
  Block block;
  std::memset(block.payload().data(), 'x', Block::max_payload);
  auto made = BoxData::compressed(std::move(block), Block::max_payload, Block::max_payload);
  frame_data(made, "0123456789abcdef", StreamName::out, UINT64_MAX, {.at = UINT64_MAX, .log = 63});
  CHECK(made.block().box() == encode(Box{{"_command", "data"},
                                         {"at", "18446744073709551615"},
                                         {"data", Bytes(Block::max_payload, 'x')},
                                         {"log", "63"},
                                         {"op", "0123456789abcdef"},
                                         {"stream", "out"},
                                         {"total", "18446744073709551615"},
                                         {"zstd", std::to_string(Block::max_payload)}}));
}

TEST_CASE("a compressed data box says what its data becomes") {
  Block block;
  const Bytes frame = from_hex("28b52ffd2064450000 10616101003f012c");
  std::memcpy(block.payload().data(), frame.data(), frame.size());
  auto made = BoxData::compressed(std::move(block), frame.size(), 100);
  frame_data(made, "1f", StreamName::out, std::nullopt);
  CHECK(to_hex(Bytes(made.block().box())) ==
        to_hex(from_hex("0008 5f636f6d6d616e64 0004 64617461  0004 64617461 0011 28b52ffd206445000010616101003f012c"
                        "0002 6f70 0002 3166  0006 73747265616d 0003 6f7574  0004 7a737464 0003 313030  0000")));
}

TEST_CASE("stream boxes have no tag") {
  Bytes out;
  encode_end(out, "3", StreamName::in);
  CHECK(out == encode(Box{{"_command", "end"}, {"op", "3"}, {"stream", "in"}}));
  out.clear();
  encode_credit(out, "3", StreamName::err, 65536);
  CHECK(out == encode(Box{{"_command", "credit"}, {"bytes", "65536"}, {"op", "3"}, {"stream", "err"}}));
  out.clear();
  encode_cancel(out, "3");
  CHECK(out == encode(Box{{"_command", "cancel"}, {"op", "3"}}));
}

TEST_CASE("an error has one of the protocol's codes") {
  struct Row {
    Failure failure;
    const char* code;
  };
  const Row rows[] = {
      {{Errc::os_error, "no", ENOENT}, "ENOENT"},  {{Errc::local_os_error, "no", EACCES}, "EACCES"},
      {{Errc::unsupported, "no", 0}, "UNHANDLED"}, {{Errc::invalid_argument, "no", 0}, "BAD_ARGUMENT"},
      {{Errc::too_large, "no", 0}, "TOO_LARGE"},   {{Errc::busy, "no", 0}, "BUSY"},
      {{Errc::cancelled, "no", 0}, "CANCELLED"},   {{Errc::remote_failure, "no", 0}, "FAILED"},
      {{Errc::timeout, "no", 0}, "FAILED"},        {{Errc::os_error, "no", 99999}, "FAILED"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.code);
    CHECK(error_code(row.failure) == row.code);
    CHECK(error_bytes("9", row.failure) ==
          encode(Box{{"_error", "9"}, {"_error_code", row.code}, {"_error_description", "no"}}));
  }
}

TEST_CASE("the description of an error is cut at 4096 bytes, as sent and as kept") {
  const Bytes text(70'000, 'x');
  CHECK(error_bytes("9", {Errc::busy, text, 0}) ==
        encode(Box{{"_error", "9"}, {"_error_code", "BUSY"}, {"_error_description", Bytes(4096, 'x')}}));
  CHECK(failure_of("BUSY", text).message.size() == 4096);
}

TEST_CASE("codes that come mean what they meant when they went, and unknown ones are failures") {
  for (const Errc code : {Errc::unsupported, Errc::invalid_argument, Errc::too_large, Errc::busy, Errc::cancelled}) {
    const Failure failure{code, "why", 0};
    CHECK(failure_of(error_code(failure), failure.message).code == code);
  }
  CHECK(failure_of("FAILED", "why").code == Errc::remote_failure);
  CHECK(failure_of("SOMETHING", "why").code == Errc::remote_failure);
  CHECK(failure_of("", "why").code == Errc::remote_failure);

  const Failure known = failure_of("ENOSPC", "why");
  CHECK(known.code == Errc::os_error);
  CHECK(known.os == ENOSPC);
  CHECK(known.message == "why");
}

TEST_CASE("an error of a system that we do not know is told by its name, harmlessly") {
  const Failure failure = failure_of("EWEIRD\x1b", "why");
  CHECK(failure.code == Errc::os_error);
  CHECK(failure.os == 0);
  CHECK(failure.message.starts_with("why (EWEIRD"));
  CHECK(failure.message.find('\x1b') == std::string::npos);
  CHECK(failure_of("E" + Bytes(60'000, 'X'), "why").message.size() < 100);
}

TEST_CASE("tags count in hex, and only our own spelling is one") {
  CHECK(make_tag(1) == "1");
  CHECK(make_tag(0x1f) == "1f");
  CHECK(make_tag(UINT64_MAX) == "ffffffffffffffff");
  for (const std::uint64_t number : {std::uint64_t{1}, std::uint64_t{10}, std::uint64_t{0xabcdef}, UINT64_MAX}) {
    CHECK(parse_tag(make_tag(number)) == number);
  }
  for (const char* const wrong : {"", "0", "01", "1F", "g", "1 ", "-1", "11111111111111111"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_tag(wrong).has_value());
  }
}

TEST_CASE("numbers are decimal without sign or leading zero, and below 10^19") {
  CHECK(parse_number("0") == 0);
  CHECK(parse_number("65536") == 65536);
  CHECK(parse_number("9223372036854775807") == 9223372036854775807ULL);
  for (const char* const wrong : {"", "00", "01", "-1", "+1", "1 ", " 1", "1x", "0x1", "18446744073709551616"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_number(wrong).has_value());
  }
}
