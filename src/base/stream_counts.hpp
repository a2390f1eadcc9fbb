// StreamCounts: how many bytes the streams of an operation have moved.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

namespace remsh {

/// How many bytes of input and output an operation has moved, and its total if known. Thread-safe: one thread counts,
/// any thread reads.
class StreamCounts {
 public:
  void add_in(std::uint64_t bytes) noexcept { in_.fetch_add(bytes, std::memory_order_relaxed); }
  void add_out(std::uint64_t bytes) noexcept { out_.fetch_add(bytes, std::memory_order_relaxed); }
  void set_total(std::uint64_t bytes) noexcept { total_.store(bytes, std::memory_order_relaxed); }

  [[nodiscard]] std::uint64_t in() const noexcept { return in_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t out() const noexcept { return out_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::optional<std::uint64_t> total() const noexcept {
    const std::uint64_t bytes = total_.load(std::memory_order_relaxed);
    return bytes == unknown ? std::nullopt : std::optional(bytes);
  }

 private:
  static constexpr std::uint64_t unknown = UINT64_MAX;

  std::atomic<std::uint64_t> in_ = 0;
  std::atomic<std::uint64_t> out_ = 0;  // stdout and stderr together
  std::atomic<std::uint64_t> total_ = unknown;
};

}  // namespace remsh
