// What a slave can make its master do with compressed data: no more than with data as it is.
#include "hostile/prey.hpp"
#include "support/hex.hpp"
#include "support/memory_in_use.hpp"

#include <string>
#include <utility>
#include <vector>

namespace remsh::test {

namespace {

// What `zstd -1 --no-check` makes of "hello", and of 65,535 times "a".
const Bytes frame_of_hello = from_hex("28b52ffd2005290000 68656c6c6f");
const Bytes frame_of_65535_a = from_hex("28b52ffd60fffe5500001061610100fa7f1d6001");

/// A skippable frame of this many bytes.
Bytes skippable(std::size_t size) {
  Bytes frame =
      from_hex("502a4d18") + Bytes{static_cast<char>((size - 8) & 0xffU), static_cast<char>((size - 8) >> 8U)};
  frame.resize(size);
  return frame;
}

/// The smallest data that may become 65,535 bytes.
Bytes full_box() { return frame_of_65535_a + skippable(256 - frame_of_65535_a.size()); }

/// 1.3 GB in 40 KB: blocks of one repeated byte.
Bytes bomb() {
  Bytes frame = from_hex("28b52ffd 00 58");
  for (int i = 0; i < 10000; ++i) frame += from_hex("020010") + "a";
  return frame + from_hex("030010") + "a";
}

/// A well-formed frame of 5,000 bytes, each in a block of its own: each block costs its receiver time.
Bytes many_blocks() {
  Bytes frame = from_hex("28b52ffd 00 58");
  for (int i = 1; i < 5000; ++i) frame += from_hex("080000") + "x";
  return frame + from_hex("090000") + "x";
}

Box data(const Bytes& op, const Bytes& bytes, const Bytes& size, const Bytes& stream = "out") {
  return {{"_command", "data"}, {"data", bytes}, {"op", op}, {"stream", stream}, {"zstd", size}};
}

}  // namespace

TEST_CASE("M8: compressed data that is not what it says ends its connection, and no other") {
  if (!has_compression()) return;
  const Bytes flat = frame_of_65535_a;
  const std::vector<std::pair<Bytes, Bytes>> lies{
      {bomb(), "65535"},
      {bomb(), "1"},
      {flat + skippable(256 - flat.size()), "65534"},
      {flat, "65535"},  // more than 256 to 1
      {flat + skippable(255 - flat.size()), "65535"},
      {frame_of_hello, "4"},
      {frame_of_hello, "6"},
      {frame_of_hello, "0"},
      {frame_of_hello, "-5"},
      {frame_of_hello, "5 "},
      {frame_of_hello, "05"},
      {frame_of_hello, ""},
      {frame_of_hello, "18446744073709551621"},
      {frame_of_hello + frame_of_hello, "10"},
      {frame_of_hello + "x", "5"},
      {many_blocks(), "5000"},
      {"hello", "5"},
      {"x", "1"},
      {from_hex("25b52ffd 2005290000 68656c6c6f"), "5"},     // another magic number
      {from_hex("28b52ffd 2107 05290000 68656c6c6f"), "5"},  // a dictionary
  };
  Prey prey({.compression = true});
  int count = 0;
  for (const auto& [bytes, size] : lies) {
    CAPTURE(count);
    const std::string name = "evil-" + std::to_string(++count);
    EvilSlave evil(prey.port());
    REQUIRE(evil.register_as(name, "zstd"));
    auto pending = prey.find(name)->start_execute({"yes"});
    const Bytes op(evil.read_call("execute").get("op").value_or(""));
    evil.send(data(op, bytes, size));
    CHECK(prey.was_breach(name));
    CHECK_THROWS_AS(pending.wait(), ProtocolError);
  }
  CHECK(prey.is_unharmed());
}

TEST_CASE("M8: nothing is decompressed that was not agreed on, nor before the welcome") {
  if (!has_compression()) return;
  for (const bool is_offered : {false, true}) {
    Prey prey({.compression = !is_offered});  // the one wants it, or the other
    EvilSlave evil(prey.port());
    REQUIRE(evil.register_as("evil", is_offered ? "zstd" : ""));
    CHECK(prey.find("evil")->info().features.empty());
    auto pending = prey.find("evil")->start_execute({"yes"});
    const Bytes op(evil.read_call("execute").get("op").value_or(""));
    evil.send(data(op, frame_of_hello, "5"));
    CHECK(prey.was_breach("evil"));
    CHECK_THROWS_WITH_AS(pending.wait(), doctest::Contains("not agreed on"), ProtocolError);
    CHECK(prey.is_unharmed());
  }
  Prey prey({.compression = true});
  EvilSlave evil(prey.port());
  evil.send(EvilSlave::hello("evil", "zstd"));
  REQUIRE(evil.read_box());
  evil.send(data("1", full_box(), "65535"));
  CHECK(evil.read_to_end() == 0);
  CHECK(prey.is_unharmed());
}

#ifdef REMSH_CAN_COUNT
TEST_CASE("M8, M10: compressed data costs credit by its decompressed size, so the memory held is bounded") {
  if (!has_compression()) return;
  constexpr int commands = 64;
  constexpr std::size_t window = 65536;
  Prey prey({.compression = true});
  EvilSlave evil(prey.port());
  REQUIRE(evil.register_as("evil", "zstd"));
  const auto slave = prey.find("evil");
  auto [pending, ops] = start_commands(*slave, evil, commands);
  const std::size_t before = bytes_in_use();
  for (const Bytes& op : ops) {
    for (const char* stream : {"out", "err", "log", "header"}) evil.send(data(op, full_box(), "65535", stream));
  }
  REQUIRE(evil.is_heard());
  const std::size_t held = bytes_taken_since(before);
  MESSAGE("bytes that 256 compressed boxes of 256 bytes make a master hold: ", held);
  CHECK(held < (4 * commands + 16) * window);
  evil.send(data(ops[0], full_box(), "65535"));
  CHECK(prey.was_breach("evil"));
  check_breached(std::move(pending));
  CHECK(eventually([&] { return bytes_in_use() < before + 1024 * 1024; }));
  CHECK(prey.is_unharmed());
}
#endif

}  // namespace remsh::test
