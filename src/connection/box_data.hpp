// BoxData: the data of one box of a stream, compressed or not. docs/protocol.md section 6, "Compressed data".
#pragma once

#include "connection/block.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/connection/compression.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

namespace remsh {

/// The feature of the handshake by which both sides agree to compress.
inline constexpr std::string_view compression_feature = "zstd";

/// Decompressed data may be at most this many times as large as the data in its box.
inline constexpr std::size_t max_compression_ratio = 256;

/// Throws Error with unsupported if this build has no zstd.
void require_compression(const char* action);

/// The data of one box that is to be sent.
class BoxData {
 public:
  /// The first `count` bytes of the payload, as they are.
  [[nodiscard]] static BoxData plain(Block block, std::size_t count) { return {std::move(block), count, count, false}; }

  /// The same, compressed if that makes them smaller by at least a sixteenth.
  [[nodiscard]] static BoxData compressed_if_smaller(Block block, std::size_t count);

  /// Data that is compressed already, and how many bytes it becomes.
  [[nodiscard]] static BoxData compressed(Block block, std::size_t count, std::size_t restored) {
    return {std::move(block), count, restored, true};
  }

  /// The data is at the beginning of its payload.
  [[nodiscard]] Block& block() noexcept { return block_; }

  /// How many bytes the box carries.
  [[nodiscard]] std::size_t count() const noexcept { return count_; }

  /// How many bytes the receiver gets from them.
  [[nodiscard]] std::size_t restored() const noexcept { return restored_; }
  [[nodiscard]] bool is_compressed() const noexcept { return is_compressed_; }

 private:
  BoxData(Block block, std::size_t count, std::size_t restored, bool is_compressed)
      : block_(std::move(block)), count_(count), restored_(restored), is_compressed_(is_compressed) {}

  Block block_;
  std::size_t count_;
  std::size_t restored_;
  bool is_compressed_;
};

/// What the data of a compressed box becomes. nullopt if that is not exactly `size` bytes, or the data breaks another
/// rule of docs/protocol.md. Makes room for `size` bytes and no more.
[[nodiscard]] std::optional<Bytes> decompressed(BytesView data, std::uint64_t size);

}  // namespace remsh
