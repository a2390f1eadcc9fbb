// BareLine: a descriptor that is read and written blocking, with system calls alone, or with bare OpenSSL on top.
#pragma once

#include "os/unique_fd.hpp"

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>

struct ssl_st;

namespace remsh::bench {

/// What limits are made of. Throws where something fails. One thread at a time.
class BareLine {
 public:
  explicit BareLine(UniqueFd fd) : fd_(std::move(fd)) {}

  enum class Side : std::uint8_t { client, server };

  /// TLS 1.3 by a key that both sides have, TLS_AES_128_GCM_SHA256, as OpenSSL does it when it is left alone.
  static BareLine with_tls(UniqueFd fd, Side side);

  void write_all(const char* data, std::size_t size);

  /// 0: the end.
  std::size_t read_some(char* data, std::size_t size);

  /// False where the stream ends first.
  bool read_all(char* data, std::size_t size);

  /// For epoll; valid as long as the line.
  [[nodiscard]] int descriptor() const noexcept { return fd_.get(); }

  /// Nothing more is sent.
  void end();

 private:
  struct Free {
    void operator()(ssl_st* ssl) const noexcept;
  };

  UniqueFd fd_;
  std::unique_ptr<ssl_st, Free> tls_;
};

/// Everything, to the end of `from`; gives how many bytes.
std::uint64_t pump(BareLine& from, BareLine& to, std::size_t buffer_size);

}  // namespace remsh::bench
