// BoxData: what one box carries, made smaller and restored, and what is refused.
#include "connection/box_data.hpp"

#include "support/hex.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <vector>

using namespace remsh;
using remsh::test::from_hex;

namespace {

Block block_of(BytesView bytes) {
  Block block;
  std::copy(bytes.begin(), bytes.end(), block.payload().begin());
  return block;
}

Bytes payload(BoxData& data) { return Bytes(data.block().payload().data(), data.count()); }

Bytes text(std::size_t size) {
  Bytes bytes;
  for (int line = 1; bytes.size() < size; ++line) {
    bytes += "[" + std::to_string(line) + "/4711] Compiling src/connection/compression.cpp\n";
  }
  bytes.resize(size);
  return bytes;
}

Bytes noise(std::size_t size) {
  std::mt19937 random(1);
  Bytes bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

// Frames as `zstd -1 --no-check` of version 1.5.4 makes them.
const Bytes frame_of_hello = from_hex("28b52ffd2005290000 68656c6c6f");
const Bytes frame_of_100_a = from_hex("28b52ffd2064450000 10616101003f012c");

/// A skippable frame with this many bytes.
Bytes skippable(std::size_t content) {
  return from_hex("502a4d18") + Bytes{static_cast<char>(content), 0, 0, 0} + Bytes(content, 'x');
}

}  // namespace

TEST_CASE("text becomes smaller, and comes back as it was") {
  if (!has_compression()) return;
  for (const std::size_t size : {std::size_t{128}, std::size_t{1000}, Block::max_payload}) {
    const Bytes bytes = text(size);
    BoxData data = BoxData::compressed_if_smaller(block_of(bytes), size);
    CAPTURE(size);
    REQUIRE(data.is_compressed());
    CHECK(data.restored() == size);
    CHECK(data.count() <= size - size / 16);
    CHECK(decompressed(payload(data), data.restored()) == bytes);
  }
}

TEST_CASE("what does not become smaller is sent as it is") {
  for (const Bytes& bytes : {noise(Block::max_payload), noise(128), text(127), Bytes("x")}) {
    BoxData data = BoxData::compressed_if_smaller(block_of(bytes), bytes.size());
    CHECK_FALSE(data.is_compressed());
    CHECK(data.restored() == bytes.size());
    CHECK(payload(data) == bytes);
  }
}

TEST_CASE("what would become too small is padded, so that no receiver refuses it") {
  if (!has_compression()) return;
  for (std::size_t size = 128; size <= Block::max_payload; size = size < 9000 ? size + 1 : size * 2) {
    BoxData data = BoxData::compressed_if_smaller(block_of(Bytes(size, '\0')), size);
    CAPTURE(size);
    REQUIRE(data.is_compressed());
    REQUIRE(data.count() * max_compression_ratio >= size);
    REQUIRE(data.count() <= 300);
    REQUIRE(decompressed(payload(data), size) == Bytes(size, '\0'));
  }
}

TEST_CASE("frames of the program zstd are understood") {
  if (!has_compression()) return;
  CHECK(decompressed(frame_of_hello, 5) == "hello");
  CHECK(decompressed(frame_of_100_a, 100) == Bytes(100, 'a'));
  CHECK(decompressed(frame_of_hello + skippable(0), 5) == "hello");
  CHECK(decompressed(frame_of_hello + skippable(200), 5) == "hello");
}

TEST_CASE("data that does not become what it says is refused") {
  if (!has_compression()) return;
  CHECK_FALSE(decompressed(frame_of_hello, 4));
  CHECK_FALSE(decompressed(frame_of_hello, 6));
  CHECK_FALSE(decompressed(frame_of_hello, 0));
  CHECK_FALSE(decompressed(frame_of_100_a, 99));
  CHECK_FALSE(decompressed("", 5));
  CHECK_FALSE(decompressed("hello", 5));
  for (std::size_t size = 0; size < frame_of_100_a.size(); ++size) {
    CHECK_FALSE(decompressed(BytesView(frame_of_100_a).substr(0, size), 100));
  }
}

TEST_CASE("only one frame is accepted, and one skippable frame behind it") {
  if (!has_compression()) return;
  CHECK_FALSE(decompressed(frame_of_hello + frame_of_hello, 10));
  CHECK_FALSE(decompressed(skippable(3) + frame_of_hello, 5));
  CHECK_FALSE(decompressed(frame_of_hello + "x", 5));
  CHECK_FALSE(decompressed(frame_of_hello + skippable(3) + skippable(3), 5));
  CHECK_FALSE(decompressed(frame_of_hello + skippable(3) + frame_of_hello, 5));
  CHECK_FALSE(decompressed(frame_of_hello + skippable(3).substr(0, 10), 5));
  CHECK_FALSE(decompressed(frame_of_hello + skippable(3) + "x", 5));
}

TEST_CASE("what is compressed here has one block, and the room in its queue that its limit counts") {
  if (!has_compression()) return;
  BoxData data = BoxData::compressed_if_smaller(block_of(text(Block::max_payload)), Block::max_payload);
  REQUIRE(data.is_compressed());
  CHECK(data.block().payload().size() == data.count());
  const Bytes frame = payload(data);
  const std::size_t header = 7;  // magic number, descriptor, content size of two bytes
  CHECK((static_cast<unsigned char>(frame[4]) & 0xE3U) == 0x60);
  CHECK((static_cast<unsigned char>(frame[header]) & 1U) == 1);  // the first block is the last one
}

TEST_CASE("older formats, dictionaries and claims beyond the limits are refused") {
  if (!has_compression()) return;
  CHECK_FALSE(decompressed(from_hex("27b52ffd 2005290000 68656c6c6f"), 5));     // another magic number
  CHECK_FALSE(decompressed(from_hex("28b52ffd 2107 05290000 68656c6c6f"), 5));  // the dictionary 7
  Bytes big = frame_of_100_a + skippable(0);
  CHECK_FALSE(decompressed(big, 65536));  // more than a box can have
  CHECK_FALSE(decompressed(frame_of_100_a, frame_of_100_a.size() * max_compression_ratio + 1));
}

TEST_CASE("a frame that would become gigabytes is refused") {
  if (!has_compression()) return;
  // Blocks of 128 KiB each, of one repeated byte: 4 bytes for each of them.
  Bytes bomb = from_hex("28b52ffd 00 58");
  for (int i = 0; i < 10000; ++i) bomb += from_hex("020010") + "a";
  bomb += from_hex("030010") + "a";
  CHECK_FALSE(decompressed(bomb, 65535));
}

TEST_CASE("many threads compress at once") {
  if (!has_compression()) return;
  std::vector<std::thread> threads;
  std::array<bool, 16> right{};
  for (std::size_t i = 0; i < right.size(); ++i) {
    threads.emplace_back([&right, i] {
      const Bytes bytes = text(20000 + i);
      for (int round = 0; round < 20; ++round) {
        BoxData data = BoxData::compressed_if_smaller(block_of(bytes), bytes.size());
        right[i] = data.is_compressed() && decompressed(payload(data), bytes.size()) == bytes;
        if (!right[i]) return;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const bool each : right) CHECK(each);
}
