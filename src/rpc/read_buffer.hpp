// ReadBuffer: a buffer that belongs to the thread that reads, not to the connection.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace remsh::rpc {

/// A buffer to read into, lent by the reading thread; idle connections own none.
class ReadBuffer {
 public:
  static constexpr std::size_t size = 256 * 1024;
  ReadBuffer() = default;
  ReadBuffer(const ReadBuffer&) = delete;
  ReadBuffer& operator=(const ReadBuffer&) = delete;
  ~ReadBuffer();
  /// The buffer; borrowed from the thread at the first use.
  std::span<char> span();
  /// Returns the buffer to the thread. The next use borrows again.
  void give_back();

 private:
  std::unique_ptr<char[]> memory_;
};

}  // namespace remsh::rpc
