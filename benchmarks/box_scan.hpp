// A look at the bytes of boxes without copies: docs/protocol.md section 1. For who trusts the other side to send boxes.
#pragma once

#include <remsh/base/bytes.hpp>

#include <cstddef>
#include <optional>

namespace remsh::bench {

/// The fields of a box, one after the other.
class BoxScan {
 public:
  explicit BoxScan(BytesView bytes) : bytes_(bytes) {}

  /// Moves to the next field. False at the end of the box, and if the bytes end first.
  bool next() {
    const auto key_size = length_at(at_);
    if (!key_size || *key_size == 0) {
      is_whole_ = key_size.has_value();
      if (is_whole_) at_ += 2;
      return false;
    }
    const auto value_size = length_at(at_ + 2 + *key_size);
    const std::size_t end = at_ + 4 + *key_size + value_size.value_or(0);
    if (!value_size || end > bytes_.size()) return false;
    key_ = bytes_.substr(at_ + 2, *key_size);
    value_ = bytes_.substr(end - *value_size, *value_size);
    at_ = end;
    return true;
  }

  [[nodiscard]] BytesView key() const noexcept { return key_; }
  [[nodiscard]] BytesView value() const noexcept { return value_; }

  /// After next() has returned false: how many bytes the box has; 0 if they are not all there yet.
  [[nodiscard]] std::size_t size() const noexcept { return is_whole_ ? at_ : 0; }

 private:
  [[nodiscard]] std::optional<std::size_t> length_at(std::size_t at) const {
    if (bytes_.size() < at + 2) return std::nullopt;
    return static_cast<std::size_t>(static_cast<unsigned char>(bytes_[at])) << 8U |
           static_cast<unsigned char>(bytes_[at + 1]);
  }

  BytesView bytes_;
  std::size_t at_ = 0;
  bool is_whole_ = false;
  BytesView key_;
  BytesView value_;
};

/// How many bytes the first box has; 0 if they are not all there yet.
inline std::size_t box_size(BytesView bytes) {
  BoxScan scan(bytes);
  while (scan.next()) {
  }
  return scan.size();
}

}  // namespace remsh::bench
