// Block: up to 64 KiB of outgoing data with room for the header and the trailer of its box.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace remsh {

/// One piece of outgoing stream data and its memory, from the read to the last write.
///
/// Data is read directly into payload(). The header is put before it and the trailer behind it, so that a whole box is
/// contiguous and nothing is copied.
class Block {
 public:
  static constexpr std::size_t size = 64 * 1024;
  static constexpr std::size_t header_room = 96;
  static constexpr std::size_t trailer_room = 112;

  /// The maximum of data in one block, and so in one data box that we send.
  static constexpr std::size_t max_payload = size - header_room - trailer_room;

  /// A block with room for this many bytes of data.
  explicit Block(std::size_t payload = max_payload)
      : memory_(std::make_unique_for_overwrite<char[]>(header_room + payload + trailer_room)), payload_(payload) {}

  /// The memory for the data.
  [[nodiscard]] std::span<char> payload() noexcept { return {memory_.get() + header_room, payload_}; }

  /// Makes the block a box: header, the first `count` bytes of the payload, trailer.
  void frame(std::string_view header, std::size_t count, std::string_view trailer);

  /// The box, once framed.
  [[nodiscard]] std::string_view box() const noexcept { return {memory_.get() + begin_, end_ - begin_}; }

 private:
  std::unique_ptr<char[]> memory_;
  std::size_t payload_;
  std::size_t begin_ = header_room;
  std::size_t end_ = header_room;
};

}  // namespace remsh
