// ReadBuffer: memory to read into, which belongs to the reading thread, or to the chunks that are left in it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace remsh::rpc {

/// Memory for one read, counted: it lives as long as a SharedMemory refers to it.
class SharedMemory {
 public:
  static constexpr std::size_t size = 256 * 1024;

  /// Refers to none.
  SharedMemory() noexcept = default;
  static SharedMemory make();
  SharedMemory(const SharedMemory& other) noexcept : counted_(other.counted_) {
    if (counted_ != nullptr) counted_->users.fetch_add(1, std::memory_order_relaxed);
  }
  SharedMemory(SharedMemory&& other) noexcept : counted_(std::exchange(other.counted_, nullptr)) {}
  SharedMemory& operator=(SharedMemory other) noexcept {
    std::swap(counted_, other.counted_);
    return *this;
  }
  ~SharedMemory();

  explicit operator bool() const noexcept { return counted_ != nullptr; }
  [[nodiscard]] std::span<char> bytes() const noexcept { return {counted_->bytes, size}; }

  /// Whether this is the only one that refers to the memory, so that it may be written.
  [[nodiscard]] bool is_only() const noexcept { return counted_->users.load(std::memory_order_acquire) == 1; }

 private:
  struct Counted {
    std::atomic<std::uint32_t> users = 1;
    char bytes[size];
  };
  explicit SharedMemory(Counted* counted) noexcept : counted_(counted) {}

  Counted* counted_ = nullptr;
};

/// Memory of which the first `filled` bytes are in use, if another one refers to it.
struct PartlyFilled {
  SharedMemory memory = {};
  std::size_t filled = 0;
};

/// A buffer to read into, lent by the reading thread; idle connections own none. Large chunks that were read are left
/// in its memory, and keep it: then the next read goes behind them, or into other memory if there is little room.
class ReadBuffer {
 public:
  static constexpr std::size_t size = SharedMemory::size;
  ReadBuffer() = default;
  ReadBuffer(const ReadBuffer&) = delete;
  ReadBuffer& operator=(const ReadBuffer&) = delete;
  ~ReadBuffer() { give_back(); }

  /// Room for the next read, at least 96 KiB, to which no chunk refers.
  std::span<char> room();

  /// What that room is part of.
  [[nodiscard]] const SharedMemory& memory() const noexcept { return used_.memory; }

  /// So many bytes of the room are in use, until no chunk refers to the memory any more.
  void fill(std::size_t bytes) noexcept { used_.filled += bytes; }

  /// Returns the memory to the thread. The next use borrows again.
  void give_back();

 private:
  PartlyFilled used_;
};

}  // namespace remsh::rpc
