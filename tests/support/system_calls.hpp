// How often the threads of this program make a system call: the C library's functions for it are replaced by others
// that count. Only in the program of the unit tests.
#pragma once

#include "support/memory_in_use.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace remsh::test {

/// How often this thread has yielded the processor. Counted everywhere, also under sanitizers.
long yields_of_this_thread();

#ifdef REMSH_CAN_COUNT  // sanitizers replace the other functions themselves

/// Those that are counted. `futex` are only those that the library itself makes, to park threads: what a mutex of the C
/// library costs is not counted.
enum class SystemCall : std::uint8_t {
  accept4,
  epoll_ctl,
  epoll_wait,
  fcntl,
  futex,
  getpeername,
  getsockopt,
  poll,
  read,
  recv,
  sched_yield,
  sendmsg,
  setsockopt,
  timerfd_settime,
  write,
};
inline constexpr std::size_t system_calls = 15;

/// How often each was made.
class SystemCalls {
 public:
  long& operator[](SystemCall call) noexcept { return counts_[static_cast<std::size_t>(call)]; }
  long operator[](SystemCall call) const noexcept { return counts_[static_cast<std::size_t>(call)]; }

  SystemCalls operator-(const SystemCalls& before) const noexcept;
  SystemCalls& operator+=(const SystemCalls& more) noexcept;

  /// All but these.
  [[nodiscard]] SystemCalls without(std::initializer_list<SystemCall> left_out) const noexcept;

  /// Those that were made, by name, such as "recv 1, sendmsg 2"; empty if none was.
  [[nodiscard]] std::string text() const;

 private:
  std::array<long, system_calls> counts_{};
};

/// Since the thread has begun.
SystemCalls system_calls_of_this_thread() noexcept;

/// Of all threads but this one, since the program has begun.
SystemCalls system_calls_of_other_threads() noexcept;

/// The memory that the last recv() of this thread has filled.
std::span<const char> last_received() noexcept;

/// Whether the last sendmsg() of this thread has sent these bytes from where they lie.
bool has_just_sent(std::span<const char> bytes) noexcept;

#endif

}  // namespace remsh::test
