// Tests of the encoding of boxes: golden bytes, every cut, every limit, every malformed input.
#include "support/hex.hpp"

#include <remsh/connection/box.hpp>
#include <remsh/connection/box_codec.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <vector>

using remsh::append_box;
using remsh::Box;
using remsh::BoxDecoder;
using remsh::BoxError;
using remsh::BoxLimits;
using remsh::Bytes;
using remsh::BytesView;
using remsh::encode;

namespace {

/// The bytes of a pair.
Bytes pair(BytesView key, BytesView value) {
  const auto length = [](std::size_t n) { return Bytes{static_cast<char>(n >> 8U), static_cast<char>(n & 0xffU)}; };
  return length(key.size()) + Bytes(key) + length(value.size()) + Bytes(value);
}

const Bytes end_of_box(2, '\0');

struct Decoded {
  std::vector<Box> boxes;
  BoxError error;
  bool inside;
};

/// Decodes bytes that come in pieces of `step`.
Decoded decode(const Bytes& bytes, std::size_t step, BoxLimits limits = {}) {
  BoxDecoder decoder(limits);
  Decoded result{{}, BoxError::none, false};
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    decoder.feed(BytesView(bytes).substr(at, step));
    while (decoder.next()) result.boxes.push_back(decoder.box().copy());
  }
  result.error = decoder.error();
  result.inside = decoder.is_inside_box();
  return result;
}

/// The same in one piece and byte by byte.
void check_error(const Bytes& bytes, BoxError error, BoxLimits limits = {}, std::size_t boxes_before = 0) {
  for (const std::size_t step : {bytes.size(), std::size_t{1}, std::size_t{3}}) {
    CAPTURE(step);
    const Decoded decoded = decode(bytes, step, limits);
    CHECK(decoded.error == error);
    CHECK(decoded.boxes.size() == boxes_before);
    CHECK_FALSE(decoded.inside);
  }
}

}  // namespace

TEST_CASE("a call is encoded as Twisted encodes it") {
  // {"_ask": "7", "_command": "stat", "path": "/"}, as docs/protocol.md section 1 shows it.
  const Bytes golden = remsh::test::from_hex(
      "0004 5f61736b 0001 37"
      "0008 5f636f6d6d616e64 0004 73746174"
      "0004 70617468 0001 2f"
      "0000");
  const Box box{{"path", "/"}, {"_command", "stat"}, {"_ask", "7"}};
  CHECK(encode(box) == golden);
  const Decoded decoded = decode(golden, golden.size());
  REQUIRE(decoded.boxes.size() == 1);
  CHECK(decoded.boxes[0] == box);
}

TEST_CASE("an answer and an error are encoded as Twisted encodes them") {
  CHECK(encode({{"_answer", "a"}}) == remsh::test::from_hex("0007 5f616e73776572 0001 61 0000"));
  CHECK(encode({{"_error", "10"}, {"_error_code", "UNHANDLED"}, {"_error_description", ""}}) ==
        remsh::test::from_hex("0006 5f6572726f72 0002 3130"
                              "000b 5f6572726f725f636f6465 0009 554e48414e444c4544"
                              "0012 5f6572726f725f6465736372697074696f6e 0000"
                              "0000"));
}

TEST_CASE("the longest key and the longest value come through") {
  Box box;
  box.set(Bytes(255, 'k'), Bytes(65535, 'v'));
  const Bytes bytes = encode(box);
  CHECK(bytes.size() == remsh::encoded_size(Bytes(255, 'k'), Bytes(65535, 'v')) + 2);
  CHECK(bytes.substr(0, 2) == remsh::test::from_hex("00ff"));
  CHECK(bytes.substr(257, 2) == remsh::test::from_hex("ffff"));
  for (const std::size_t step : {bytes.size(), std::size_t{1000}, std::size_t{1}}) {
    const Decoded decoded = decode(bytes, step);
    REQUIRE(decoded.boxes.size() == 1);
    CHECK((decoded.boxes[0] == box));
  }
}

TEST_CASE("any cut at any byte gives the same boxes") {
  const std::vector<Box> boxes{
      {{"_ask", "1"}, {"_command", "x"}}, {{"a", ""}}, {{"data", Bytes("\0\0\0", 3)}, {"op", "1"}}, {{"z", "end"}}};
  Bytes bytes;
  for (const Box& box : boxes) append_box(bytes, box);
  for (std::size_t first = 0; first <= bytes.size(); ++first) {
    for (std::size_t second = first; second <= bytes.size(); ++second) {
      BoxDecoder decoder;
      std::vector<Box> found;
      for (const auto& [from, to] : {std::pair(std::size_t{0}, first), {first, second}, {second, bytes.size()}}) {
        const Bytes piece = bytes.substr(from, to - from);  // gone after this round, as a buffer would be
        decoder.feed(piece);
        while (decoder.next()) found.push_back(decoder.box().copy());
      }
      CHECK(decoder.error() == BoxError::none);
      CHECK_FALSE(decoder.is_inside_box());
      CHECK((found == boxes));
    }
  }
  for (std::size_t step = 1; step <= bytes.size(); ++step) CHECK((decode(bytes, step).boxes == boxes));
}

TEST_CASE("a stream that ends inside a box is told from one that ends between two") {
  const Bytes box = encode({{"key", "value"}});
  for (std::size_t size = 1; size < box.size(); ++size) {
    CHECK(decode(box.substr(0, size), 1).inside);
    CHECK(decode(box + box.substr(0, size), box.size() + size).inside);
  }
  CHECK_FALSE(decode(box, 1).inside);
  CHECK_FALSE(BoxDecoder().is_inside_box());
}

TEST_CASE("a key length over 255 is an error as soon as it is seen") {
  check_error(remsh::test::from_hex("0100"), BoxError::key_too_long);
  check_error("GET / HTTP/1.1\r\n\r\n", BoxError::key_too_long);
  check_error(pair("a", "1") + remsh::test::from_hex("ffff"), BoxError::key_too_long);
}

TEST_CASE("an empty box is an error") {
  check_error(end_of_box, BoxError::empty_box);
  check_error(encode({{"a", "1"}}) + end_of_box, BoxError::empty_box, {}, 1);
}

TEST_CASE("the same key twice is an error, next to each other or apart") {
  check_error(pair("a", "1") + pair("a", "1") + end_of_box, BoxError::duplicate_key);
  check_error(pair("b", "1") + pair("a", "2") + pair("b", "3") + end_of_box, BoxError::duplicate_key);
  check_error(encode({{"a", "1"}}) + pair("c", "") + pair("b", "") + pair("c", "") + end_of_box,
              BoxError::duplicate_key, {}, 1);
}

TEST_CASE("keys may come in any order, which the view tells") {
  BoxDecoder decoder;
  const Bytes bytes = pair("b", "1") + pair("a", "2") + end_of_box + encode({{"a", "1"}, {"b", "2"}});
  decoder.feed(bytes);
  REQUIRE(decoder.next());
  CHECK_FALSE(decoder.box().is_canonical());
  CHECK(decoder.box().get("a") == "2");
  CHECK(decoder.box().get("b") == "1");
  CHECK_FALSE(decoder.box().has("c"));
  REQUIRE(decoder.next());
  CHECK(decoder.box().is_canonical());
  CHECK_FALSE(decoder.next());
  CHECK(decoder.error() == BoxError::none);
}

TEST_CASE("as many fields as the limit allows, and not one more") {
  const auto with_fields = [](std::size_t count) {
    Bytes bytes;
    for (std::size_t i = 0; i < count; ++i) bytes += pair("k" + std::to_string(1000 + i), "");
    return bytes + end_of_box;
  };
  const Decoded decoded = decode(with_fields(5), 1, {.fields = 5});
  REQUIRE(decoded.boxes.size() == 1);
  CHECK(decoded.boxes[0].size() == 5);
  check_error(with_fields(6), BoxError::too_many_fields, {.fields = 5});
  CHECK(decode(with_fields(1024), 4096).boxes.size() == 1);
  check_error(with_fields(1025), BoxError::too_many_fields);
}

TEST_CASE("as many bytes as the limit allows, and not one more") {
  const Bytes bytes = encode({{"a", "12345"}, {"b", "67890"}});
  for (const std::size_t step : {bytes.size(), std::size_t{1}}) {
    CHECK(decode(bytes, step, {.bytes = bytes.size()}).boxes.size() == 1);
    // Each box counts by itself.
    CHECK(decode(bytes + bytes, step, {.bytes = bytes.size()}).boxes.size() == 2);
  }
  check_error(bytes, BoxError::too_large, {.bytes = bytes.size() - 1});
}

TEST_CASE("a box that will be too large is refused by its lengths, before its bytes come") {
  BoxDecoder decoder({.bytes = 1000});
  const Bytes head = remsh::test::from_hex("0001 61 ffff");
  decoder.feed(head);
  CHECK_FALSE(decoder.next());
  CHECK(decoder.error() == BoxError::too_large);
}

TEST_CASE("an error stays, and what comes behind it is dropped") {
  BoxDecoder decoder;
  const Bytes bad = end_of_box + encode({{"a", "1"}});
  decoder.feed(bad);
  CHECK_FALSE(decoder.next());
  const Bytes good = encode({{"a", "1"}});
  decoder.feed(good);
  CHECK_FALSE(decoder.next());
  CHECK(decoder.error() == BoxError::empty_box);
  CHECK_FALSE(decoder.is_inside_box());
}

TEST_CASE("what no box has used yet can be handed on") {
  const Bytes first = encode({{"a", "1"}});
  const Bytes second = encode({{"b", "2"}});
  const Bytes cut = second.substr(0, 4);
  BoxDecoder decoder;
  const Bytes all = first + second + cut;
  decoder.feed(all);
  REQUIRE(decoder.next());
  CHECK(decoder.unread() == second + cut);
  REQUIRE(decoder.next());
  CHECK(decoder.unread() == cut);
  CHECK_FALSE(decoder.next());
  CHECK(decoder.unread() == cut);
  const Bytes rest = second.substr(4) + first;
  decoder.feed(rest);
  CHECK(decoder.unread() == second + first);
  REQUIRE(decoder.next());  // the one that was joined
  CHECK(decoder.unread() == first);
}

TEST_CASE("a box that lies whole in the bytes is not copied, one that is cut is") {
  const Bytes bytes = encode({{"key", "value"}});
  const auto is_inside = [](BytesView part, const Bytes& whole) {
    return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
  };
  BoxDecoder decoder;
  decoder.feed(bytes);
  REQUIRE(decoder.next());
  CHECK(is_inside(*decoder.box().get("key"), bytes));
  CHECK_FALSE(decoder.next());
  const Bytes head = bytes.substr(0, 5);
  const Bytes tail = bytes.substr(5);
  decoder.feed(head);
  CHECK_FALSE(decoder.next());
  decoder.feed(tail);
  REQUIRE(decoder.next());
  CHECK(decoder.box().get("key") == "value");
  CHECK_FALSE(is_inside(*decoder.box().get("key"), tail));
}

TEST_CASE("every error has a sentence of its own") {
  std::vector<std::string_view> sentences;
  for (const BoxError error : {BoxError::none, BoxError::key_too_long, BoxError::empty_box, BoxError::duplicate_key,
                               BoxError::too_many_fields, BoxError::too_large}) {
    for (const std::string_view sentence : sentences) CHECK(to_string(error) != sentence);
    sentences.push_back(to_string(error));
  }
}
