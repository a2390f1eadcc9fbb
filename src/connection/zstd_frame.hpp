// The outer form of compressed data, by its lengths alone: RFC 8878 section 3.
#pragma once

#include <remsh/base/bytes.hpp>

#include <cstddef>
#include <optional>

namespace remsh {

/// How many blocks a frame may have. Each makes the receiver build tables, which takes it microseconds, even if it is a
/// few bytes long. 65,535 bytes fit into one block.
inline constexpr std::size_t max_frame_blocks = 16;

/// The size of the frame with which `data` begins. nullopt if `data` is anything but one frame of at most
/// max_frame_blocks blocks, without a dictionary, perhaps with one skippable frame behind it and nothing else.
[[nodiscard]] std::optional<std::size_t> zstd_frame_size(BytesView data);

}  // namespace remsh
