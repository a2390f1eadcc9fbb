// MessageReader: messages out of a stream that is cut anywhere, and sizes that make no sense.
#include "messages/message_reader.hpp"

#include "support/hex.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

using namespace remsh;
using namespace remsh::messages;

namespace {

using Next = MessageReader::Next;

constexpr std::uint64_t any_size = std::numeric_limits<std::uint64_t>::max();

Bytes framed(const Bytes& message) { return header_of(message.size()) + message; }

/// Gives the reader as much as it takes of the bytes, at most `count`.
void feed(MessageReader& reader, BytesView& bytes, std::size_t count) {
  const auto room = reader.room();
  REQUIRE(!room.empty());
  count = std::min({count, room.size(), bytes.size()});
  std::copy_n(bytes.data(), count, room.data());
  reader.received(count);
  bytes.remove_prefix(count);
}

/// The messages in a stream that arrives in pieces of this size.
std::vector<Bytes> read_in_pieces(BytesView bytes, std::size_t size) {
  MessageReader reader;
  std::vector<Bytes> messages;
  for (;;) {
    const Next next = reader.next(any_size);
    if (next == Next::message) {
      messages.push_back(reader.take());
    } else {
      REQUIRE(next == Next::bytes);
      if (bytes.empty()) break;
      feed(reader, bytes, size);
    }
  }
  CHECK(reader.is_between_messages());
  return messages;
}

Bytes some_bytes(std::size_t size) {
  Bytes bytes;
  for (std::size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(i * 131 % 251));
  return bytes;
}

}  // namespace

TEST_CASE("a size is written in four bytes, and one beyond 31 bits in twelve") {
  CHECK(test::to_hex(header_of(0)) == "00000000");
  CHECK(test::to_hex(header_of(3)) == "00000003");
  CHECK(test::to_hex(header_of(0x7fffffff)) == "7fffffff");
  CHECK(test::to_hex(header_of(0x80000000)) == "ffffffff0000000080000000");
  CHECK(test::to_hex(header_of(0x0102030405060708)) == "ffffffff0102030405060708");
}

TEST_CASE("messages are found wherever the stream is cut") {
  const std::vector<Bytes> wanted{"hello", "", some_bytes(3), some_bytes(20'000), "", some_bytes(100'000), "end"};
  Bytes stream;
  for (const Bytes& message : wanted) stream += framed(message);
  for (const std::size_t size : {1UL, 2UL, 3UL, 4UL, 5UL, 7UL, 4096UL, 16384UL, 65536UL, 1'000'000UL}) {
    CAPTURE(size);
    CHECK(read_in_pieces(stream, size) == wanted);
  }
}

TEST_CASE("a small size may come in the long form") {
  CHECK(read_in_pieces(test::from_hex("ffffffff0000000000000003616263"), 1) == std::vector<Bytes>{"abc"});
}

TEST_CASE("any other negative size breaks the stream for good") {
  for (const char* const header : {"fffffffe", "80000000", "ffffff00"}) {
    MessageReader reader;
    const Bytes bytes = test::from_hex(header) + "more";
    BytesView rest = bytes;
    CHECK(reader.next(any_size) == Next::bytes);
    feed(reader, rest, bytes.size());
    CHECK(reader.next(any_size) == Next::broken);
    CHECK(reader.next(any_size) == Next::broken);
  }
}

TEST_CASE("a message over the limit is not read, and costs no memory") {
  MessageReader reader;
  const Bytes bytes = header_of(any_size - 5) + "begin";
  BytesView rest = bytes;
  CHECK(reader.next(256) == Next::bytes);
  feed(reader, rest, bytes.size());
  CHECK(reader.next(256) == Next::too_large);
  CHECK(reader.size() == any_size - 5);
  CHECK(reader.next(any_size) == Next::bytes);  // who allows more gets more, as it comes
  CHECK(reader.room().size() <= 4UL * 1024 * 1024);
}

TEST_CASE("a message goes directly to the memory that is lent for it, if all of it fits") {
  const Bytes message = some_bytes(50'000);
  const Bytes stream = framed(message) + framed("next");
  for (const std::size_t piece : {1UL, 10UL, 30'000UL, 100'000UL}) {
    for (const std::size_t lent_after : {0UL, 3UL, 4UL, 20'000UL}) {
      CAPTURE(piece);
      CAPTURE(lent_after);
      MessageReader reader;
      std::vector<char> memory(message.size());
      BytesView rest = stream;
      bool is_lent = false;
      for (;;) {
        if (!is_lent && stream.size() - rest.size() >= lent_after) {
          reader.lend(memory);
          is_lent = true;
        }
        if (reader.next(any_size) == Next::message) break;
        feed(reader, rest, piece);
      }
      // Otherwise it was complete before the memory was lent.
      if (reader.is_in_lent()) {
        CHECK(Bytes(memory.begin(), memory.end()) == message);
        CHECK(reader.take().empty());
      } else {
        CHECK(reader.take() == message);
      }
      while (reader.next(any_size) != Next::message) feed(reader, rest, piece);
      CHECK_FALSE(reader.is_in_lent());
      CHECK(reader.take() == "next");
    }
  }
}

TEST_CASE("what has come of a message is kept when the lent memory is taken back") {
  const Bytes message = some_bytes(40'000);
  const Bytes stream = framed(message);
  MessageReader reader;
  BytesView rest = stream;
  {
    std::vector<char> memory(message.size());
    reader.lend(memory);
    for (int i = 0; i < 3; ++i) {
      REQUIRE(reader.next(any_size) == Next::bytes);
      feed(reader, rest, 10'000);
    }
    REQUIRE(reader.next(any_size) == Next::bytes);
    CHECK(reader.is_in_lent());
    reader.take_back();
  }
  while (reader.next(any_size) == Next::bytes) feed(reader, rest, 10'000);
  CHECK_FALSE(reader.is_in_lent());
  CHECK(reader.take() == message);

  std::vector<char> small(message.size() - 1);
  rest = stream;
  reader.lend(small);
  while (reader.next(any_size) == Next::bytes) feed(reader, rest, 10'000);
  CHECK_FALSE(reader.is_in_lent());
  CHECK(reader.take() == message);
}

TEST_CASE("the stream may end between messages, and nowhere else") {
  MessageReader reader;
  CHECK(reader.is_between_messages());
  const Bytes stream = framed("ab");
  for (BytesView rest = stream; !rest.empty();) {
    REQUIRE(reader.next(any_size) == Next::bytes);
    feed(reader, rest, 1);
    CHECK_FALSE(reader.is_between_messages());
  }
  REQUIRE(reader.next(any_size) == Next::message);
  CHECK_FALSE(reader.is_between_messages());
  CHECK(reader.take() == "ab");
  CHECK(reader.is_between_messages());
}
