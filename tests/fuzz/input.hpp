// Input: what a fuzzer made up, read as numbers, bytes and boxes; and what a target expects of the library.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/connection/box.hpp>
#include <remsh/connection/box_codec.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>
#include <utility>

/// Ends the program where the library does not do what it should: the fuzzer keeps the input, and a test fails.
#define REMSH_EXPECT(condition) \
  static_cast<void>((condition) || (::remsh::fuzz::unexpected(#condition, __FILE__, __LINE__), false))

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace remsh::fuzz {

[[noreturn]] inline void unexpected(const char* what, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: expected: %s\n", file, line, what);
  std::abort();
}

using Words = std::span<const std::string_view>;

/// Reads a made-up input from the front. Behind its end everything is 0 and empty. One thread at a time.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  [[nodiscard]] bool empty() const noexcept { return rest_.empty(); }

  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }

  bool flag() { return (byte() & 1U) != 0; }

  /// From 0 to n - 1; n is at most 2^16.
  std::size_t below(std::size_t n) {
    std::size_t value = byte();
    if (n > 256) value = value << 8U | byte();
    return value % n;
  }

  /// A size, often one at which something changes.
  std::size_t size() {
    constexpr std::array<std::size_t, 14> edges{0,      1,      2,      63,      64,      65,      255,
                                                65'534, 65'535, 65'536, 131'069, 131'070, 131'071, 262'144};
    const std::size_t chosen = byte();
    return chosen < edges.size() ? edges[chosen] : below(chosen < 128 ? 256 : 65'536);
  }

  BytesView bytes(std::size_t max) {
    const std::size_t wanted = below(max + 1);  // it takes a byte, so before the rest is measured
    return take(std::min(wanted, rest_.size()));
  }

  BytesView rest() { return take(rest_.size()); }

  /// One of these words, or any bytes.
  Bytes word(Words words) {
    const std::size_t chosen = byte();
    if (chosen >= words.size()) return Bytes(bytes(std::min<std::size_t>(chosen, 80)));
    return Bytes(words[chosen]);
  }

  /// The encoding of a box of such keys and values, canonical or in any order, also with the same key twice.
  Bytes box(Words keys, Words values) {
    const std::size_t chosen = byte();
    const std::size_t fields = 1 + chosen % 12;
    Bytes text;
    Box sorted;
    BoxWriter writer(text);
    for (std::size_t i = 0; i < fields; ++i) {
      Bytes key = word(keys);
      if (key.empty()) key = "k";
      const bool is_long = byte() == 255;
      const Bytes value = is_long ? Bytes(std::min(size(), Box::max_value), 'v') : word(values);
      if (chosen < 128) {
        sorted.set(std::move(key), value);
      } else {
        writer.field(key, value);
      }
    }
    if (chosen < 128) return encode(sorted);
    writer.end();
    return text;
  }

 private:
  BytesView take(std::size_t count) {
    const BytesView taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  BytesView rest_;
};

/// Hands out bytes in pieces: seed 0 all at once, 1 one by one, else of lengths up to the seed.
template <class Function>
void in_pieces(BytesView bytes, std::uint8_t seed, Function&& function) {
  std::uint32_t state = seed;
  while (!bytes.empty()) {
    state = state * 1'664'525U + 1'013'904'223U;
    const std::size_t count = seed == 0 ? bytes.size() : seed == 1 ? 1 : 1 + (state >> 8U) % seed;
    function(bytes.substr(0, count));
    bytes.remove_prefix(std::min(count, bytes.size()));
  }
}

/// Sentences are shown and logged, so what a peer put into them must not reach a terminal.
inline void expect_printable(std::string_view sentence) {
  REMSH_EXPECT(!sentence.empty());
  REMSH_EXPECT(std::none_of(sentence.begin(), sentence.end(),
                            [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }));
}

}  // namespace remsh::fuzz
