#include "connection/zstd_frame.hpp"

#include <array>
#include <cstdint>

namespace remsh {

namespace {

// The first bytes of a frame. A skippable frame begins with a byte from 0x50 to 0x5F, and then these three.
constexpr BytesView frame_magic = "\x28\xB5\x2F\xFD";
constexpr BytesView skippable_magic = "\x2A\x4D\x18";
constexpr std::size_t skippable_header = 8;

constexpr std::size_t block_header = 3;
constexpr std::size_t checksum_size = 4;

/// A number whose lowest byte comes first.
std::uint32_t little_endian(BytesView bytes) {
  std::uint32_t number = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) number = number << 8U | static_cast<unsigned char>(bytes[i]);
  return number;
}

/// The size of the header of a frame; nullopt if it names a dictionary.
std::optional<std::size_t> header_size(unsigned descriptor) {
  constexpr std::array<std::size_t, 4> content_size{0, 2, 4, 8};
  const bool is_single_segment = (descriptor & 0x20U) != 0;
  const bool has_dictionary = (descriptor & 0x03U) != 0;
  if (has_dictionary) return std::nullopt;
  std::size_t size = frame_magic.size() + 1 + content_size[descriptor >> 6U];
  if (descriptor >> 6U == 0 && is_single_segment) ++size;  // a content size of one byte
  if (!is_single_segment) ++size;                          // the size of the window
  return size;
}

bool is_skippable_frame(BytesView bytes) {
  return bytes.size() >= skippable_header && (static_cast<unsigned char>(bytes[0]) & 0xF0U) == 0x50 &&
         bytes.substr(1).starts_with(skippable_magic) &&
         little_endian(bytes.substr(4, 4)) == bytes.size() - skippable_header;
}

}  // namespace

std::optional<std::size_t> zstd_frame_size(BytesView data) {
  if (!data.starts_with(frame_magic) || data.size() == frame_magic.size()) return std::nullopt;
  const auto descriptor = static_cast<unsigned char>(data[frame_magic.size()]);
  const auto header = header_size(descriptor);
  if (!header) return std::nullopt;
  std::size_t at = *header;
  bool is_last = false;
  for (std::size_t blocks = 0; !is_last; ++blocks) {
    if (blocks == max_frame_blocks || data.size() < at + block_header) return std::nullopt;
    const std::uint32_t block = little_endian(data.substr(at, block_header));
    const std::uint32_t type = block >> 1U & 3U;
    const std::size_t size = type == 1 ? 1 : block >> 3U;  // type 1: one byte that is repeated
    if (type == 3 || data.size() - at - block_header < size) return std::nullopt;
    at += block_header + size;
    is_last = (block & 1U) != 0;
  }
  if ((descriptor & 0x04U) != 0) at += checksum_size;
  if (at > data.size() || (at < data.size() && !is_skippable_frame(data.substr(at)))) return std::nullopt;
  return at;
}

}  // namespace remsh
