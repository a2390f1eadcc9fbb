// UniqueFd: owner of one descriptor.
#pragma once

#include <unistd.h>

#include <utility>

namespace remsh {

/// Owns a descriptor, or none, and closes it.
class UniqueFd {
 public:
  UniqueFd() noexcept = default;
  explicit UniqueFd(int descriptor) noexcept : fd_(descriptor) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~UniqueFd() { reset(); }

  [[nodiscard]] int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  int release() noexcept { return std::exchange(fd_, -1); }

  void reset(int descriptor = -1) noexcept {
    if (fd_ >= 0) ::close(fd_);
    fd_ = descriptor;
  }

 private:
  int fd_ = -1;
};

}  // namespace remsh
