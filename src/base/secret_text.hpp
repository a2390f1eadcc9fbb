// SecretText: text that contains secrets, such as a key file.
#pragma once

#include "base/wipe.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh {

/// Grows at its end. Its memory is wiped when it is destroyed or reallocated. One thread at a time.
class SecretText {
 public:
  SecretText() = default;
  SecretText(SecretText&& other) noexcept
      : memory_(std::exchange(other.memory_, {})), size_(std::exchange(other.size_, 0)) {}
  SecretText& operator=(SecretText&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~SecretText() { wipe(memory_); }

  [[nodiscard]] std::string_view view() const noexcept { return {memory_.data(), size_}; }

  SecretText& operator+=(std::string_view text) {
    std::copy(text.begin(), text.end(), grow(text.size()).begin());
    size_ += text.size();
    return *this;
  }

  /// Room behind the text. Write into it, then call added() with the number of bytes written.
  std::span<char> grow(std::size_t room) {
    if (memory_.size() - size_ < room) {
      std::vector<char> larger(std::max(size_ + room, memory_.size() * 2));
      std::copy_n(memory_.begin(), size_, larger.begin());
      wipe(memory_);
      memory_ = std::move(larger);
    }
    return std::span(memory_).subspan(size_, room);
  }
  void added(std::size_t size) noexcept { size_ += size; }

 private:
  std::vector<char> memory_;
  std::size_t size_ = 0;
};

}  // namespace remsh
