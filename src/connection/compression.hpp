// Compression of the data of one box, by zstd, if this build has it. docs/protocol.md section 6, "Compressed data".
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

/// What is to be done about has_compression() being false, for errors.
inline constexpr const char* no_compression =
    "this remsh was built without zstd: install libzstd's headers and build it with -Dzstd=enabled";

/// How many times as large as the data of its box decompressed data may be.
inline constexpr std::size_t max_compression = 256;

/// The data of one box that is to be sent.
struct BoxData {
  Block block;
  std::size_t count = 0;  ///< how many bytes of payload the box has
  std::size_t size = 0;   ///< how many bytes the receiver gets from them: `count`, unless they are compressed
  bool is_compressed = false;

  /// The first `count` bytes of the payload, as they are.
  [[nodiscard]] static BoxData plain(Block block, std::size_t count) { return {std::move(block), count, count, false}; }

  /// The same, compressed if that makes them smaller by at least a sixteenth.
  [[nodiscard]] static BoxData compressed(Block block, std::size_t count);
};

/// What the data of a compressed box becomes. nullopt if that is not exactly `size` bytes, or the data breaks another
/// rule of docs/protocol.md. Makes room for `size` bytes and no more.
[[nodiscard]] std::optional<Bytes> decompressed(BytesView data, std::uint64_t size);

}  // namespace remsh
