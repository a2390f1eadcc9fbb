// Content: what streams carry, so that a byte that is lost, doubled or out of place is seen.
#pragma once

#include "connection/box_data.hpp"
#include "rpc/stream.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

namespace remsh::sim {

/// The streams to the caller.
inline constexpr std::array outputs{rpc::StreamName::out, rpc::StreamName::err, rpc::StreamName::log,
                                    rpc::StreamName::header};

/// One direction of one stream of one call, as far as it was sent or has come. Every stream begins at another place of
/// the same pattern, whose period is no multiple of anything.
class Content {
 public:
  static constexpr std::size_t period = 65521;

  Content() = default;
  Content(std::uint64_t call, rpc::StreamName stream)
      : begin_(static_cast<std::size_t>((call * 7919 + static_cast<std::uint64_t>(stream) * 104729) % period)) {}

  /// The next `count` bytes, to be sent.
  Block next(std::size_t count) {
    Block block;
    std::memcpy(block.payload().data(), here(), count);
    bytes_ += count;
    return block;
  }

  /// The same for one box, perhaps compressed if that makes it smaller.
  BoxData next_data(std::size_t count, bool may_compress) {
    Block block = next(count);
    return may_compress && count % 2 == 0 ? BoxData::compressed_if_smaller(std::move(block), count)
                                          : BoxData::plain(std::move(block), count);
  }

  /// Whether these are the next bytes.
  bool take(BytesView bytes) {
    const bool is_right = bytes.size() <= Block::size && std::memcmp(bytes.data(), here(), bytes.size()) == 0;
    bytes_ += bytes.size();
    return is_right;
  }

  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }

 private:
  [[nodiscard]] const char* here() const {
    static const std::string pattern = [] {
      std::string text(2 * period + Block::size, '\0');
      std::uint32_t state = 1;
      for (std::size_t i = 0; i < period; ++i) {
        state = state * 1664525U + 1013904223U;
        text[i] = static_cast<char>('a' + (state >> 29U));  // few letters, so that it can be compressed
      }
      for (std::size_t i = period; i < text.size(); ++i) text[i] = text[i - period];
      return text;
    }();
    return pattern.data() + (begin_ + bytes_) % period;
  }

  std::size_t begin_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace remsh::sim
