// Functions that stand in front of those of the C library, in all of this program, and count how often they are called.
#include "support/system_calls.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#ifdef REMSH_CAN_COUNT
#include <dlfcn.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <string_view>
#endif

namespace remsh::test {

namespace {
thread_local long yields = 0;
}  // namespace

long yields_of_this_thread() { return yields; }

#ifdef REMSH_CAN_COUNT

namespace {

constexpr std::array<std::string_view, system_calls> names{
    "accept4", "epoll_ctl", "epoll_wait",  "fcntl",   "futex",      "getpeername",     "getsockopt", "poll",
    "read",    "recv",      "sched_yield", "sendmsg", "setsockopt", "timerfd_settime", "write"};

constexpr std::size_t most_buffers = 32;

// Plain data without constructors, because functions may be called before main() and in children before they exec.
thread_local std::array<long, system_calls> counts_here{};
constinit std::array<std::atomic<long>, system_calls> counts_everywhere{};
thread_local const char* received = nullptr;
thread_local std::size_t received_size = 0;
thread_local std::array<iovec, most_buffers> sent{};
thread_local std::size_t sent_buffers = 0;

void count(SystemCall call) noexcept {
  const auto index = static_cast<std::size_t>(call);
  ++counts_here[index];
  counts_everywhere[index].fetch_add(1, std::memory_order_relaxed);
}

/// The C library's function. Looked up once for each; by other threads at the same time, they find the same.
template <class Function>
Function* next(std::atomic<void*>& known, const char* name) noexcept {
  void* found = known.load(std::memory_order_relaxed);
  if (found == nullptr) {
    const int saved = errno;
    found = ::dlsym(RTLD_NEXT, name);
    if (found == nullptr) std::abort();
    known.store(found, std::memory_order_relaxed);
    errno = saved;
  }
  return reinterpret_cast<Function*>(found);
}

void note_sent(const msghdr& message) noexcept {
  sent_buffers = std::min<std::size_t>(message.msg_iovlen, most_buffers);
  std::copy_n(message.msg_iov, sent_buffers, sent.begin());
}

}  // namespace

SystemCalls SystemCalls::operator-(const SystemCalls& before) const noexcept {
  SystemCalls result = *this;
  for (std::size_t i = 0; i < system_calls; ++i) result.counts_[i] -= before.counts_[i];
  return result;
}

SystemCalls& SystemCalls::operator+=(const SystemCalls& more) noexcept {
  for (std::size_t i = 0; i < system_calls; ++i) counts_[i] += more.counts_[i];
  return *this;
}

SystemCalls SystemCalls::without(std::initializer_list<SystemCall> left_out) const noexcept {
  SystemCalls result = *this;
  for (const SystemCall call : left_out) result[call] = 0;
  return result;
}

std::string SystemCalls::text() const {
  std::string result;
  for (std::size_t i = 0; i < system_calls; ++i) {
    if (counts_[i] == 0) continue;
    if (!result.empty()) result += ", ";
    result.append(names[i]).append(" ").append(std::to_string(counts_[i]));
  }
  return result;
}

SystemCalls system_calls_of_this_thread() noexcept {
  SystemCalls result;
  for (std::size_t i = 0; i < system_calls; ++i) result[static_cast<SystemCall>(i)] = counts_here[i];
  return result;
}

SystemCalls system_calls_of_other_threads() noexcept {
  SystemCalls result;
  for (std::size_t i = 0; i < system_calls; ++i) {
    result[static_cast<SystemCall>(i)] = counts_everywhere[i].load(std::memory_order_relaxed) - counts_here[i];
  }
  return result;
}

std::span<const char> last_received() noexcept { return {received, received_size}; }

bool has_just_sent(std::span<const char> bytes) noexcept {
  return std::any_of(sent.begin(), sent.begin() + static_cast<std::ptrdiff_t>(sent_buffers), [&](const iovec& one) {
    const char* const first = static_cast<const char*>(one.iov_base);
    return first <= bytes.data() && bytes.data() + bytes.size() <= first + one.iov_len;
  });
}

#endif

}  // namespace remsh::test

// The names of ours are not those of the C library, whose headers may have declared these with other exceptions, or as
// macros, or by the name of another function.

extern "C" {

int remsh_test_sched_yield() noexcept __asm__("sched_yield");

int remsh_test_sched_yield() noexcept {
  ++remsh::test::yields;
#ifdef REMSH_CAN_COUNT
  remsh::test::count(remsh::test::SystemCall::sched_yield);
#endif
  return static_cast<int>(::syscall(SYS_sched_yield));
}

#ifdef REMSH_CAN_COUNT

// `name`: of the C library; `counted`: of SystemCall.
#define REMSH_COUNTED(result, name, counted, parameters, arguments)      \
  result remsh_test_##name parameters __asm__(#name);                    \
  result remsh_test_##name parameters {                                  \
    static constinit std::atomic<void*> known = nullptr;                 \
    remsh::test::count(remsh::test::SystemCall::counted);                \
    return remsh::test::next<result parameters>(known, #name) arguments; \
  }

REMSH_COUNTED(int, accept4, accept4, (int fd, sockaddr* address, socklen_t* size, int flags),
              (fd, address, size, flags))
REMSH_COUNTED(int, epoll_ctl, epoll_ctl, (int epoll, int what, int fd, epoll_event* event), (epoll, what, fd, event))
REMSH_COUNTED(int, epoll_wait, epoll_wait, (int epoll, epoll_event* events, int most, int wait),
              (epoll, events, most, wait))
REMSH_COUNTED(int, getpeername, getpeername, (int fd, sockaddr* address, socklen_t* size), (fd, address, size))
REMSH_COUNTED(int, getsockopt, getsockopt, (int fd, int level, int name, void* value, socklen_t* size),
              (fd, level, name, value, size))
REMSH_COUNTED(int, poll, poll, (pollfd * polled, nfds_t size, int wait), (polled, size, wait))
REMSH_COUNTED(ssize_t, read, read, (int fd, void* buffer, std::size_t size), (fd, buffer, size))
REMSH_COUNTED(int, setsockopt, setsockopt, (int fd, int level, int name, const void* value, socklen_t size),
              (fd, level, name, value, size))
REMSH_COUNTED(int, timerfd_settime, timerfd_settime, (int fd, int flags, const itimerspec* when, itimerspec* before),
              (fd, flags, when, before))
REMSH_COUNTED(ssize_t, write, write, (int fd, const void* buffer, std::size_t size), (fd, buffer, size))

#undef REMSH_COUNTED

ssize_t remsh_test_recv(int fd, void* buffer, std::size_t size, int flags) __asm__("recv");

ssize_t remsh_test_recv(int fd, void* buffer, std::size_t size, int flags) {
  using namespace remsh::test;
  static constinit std::atomic<void*> known = nullptr;
  count(SystemCall::recv);
  const ssize_t got = next<ssize_t(int, void*, std::size_t, int)>(known, "recv")(fd, buffer, size, flags);
  if (got > 0) {
    received = static_cast<const char*>(buffer);
    received_size = static_cast<std::size_t>(got);
  }
  return got;
}

ssize_t remsh_test_sendmsg(int fd, const msghdr* message, int flags) __asm__("sendmsg");

ssize_t remsh_test_sendmsg(int fd, const msghdr* message, int flags) {
  using namespace remsh::test;
  static constinit std::atomic<void*> known = nullptr;
  count(SystemCall::sendmsg);
  note_sent(*message);
  return next<ssize_t(int, const msghdr*, int)>(known, "sendmsg")(fd, message, flags);
}

// The last argument of these is as wide as a pointer, or there is none: then it is not used.

#define REMSH_COUNTED_FCNTL(name)                                                      \
  int remsh_test_##name(int fd, int command, ...) __asm__(#name);                      \
  int remsh_test_##name(int fd, int command, ...) {                                    \
    static constinit std::atomic<void*> known = nullptr;                               \
    std::va_list arguments;                                                            \
    va_start(arguments, command);                                                      \
    void* const argument = va_arg(arguments, void*);                                   \
    va_end(arguments);                                                                 \
    remsh::test::count(remsh::test::SystemCall::fcntl);                                \
    return remsh::test::next<int(int, int, ...)>(known, #name)(fd, command, argument); \
  }

REMSH_COUNTED_FCNTL(fcntl)
REMSH_COUNTED_FCNTL(fcntl64)

#undef REMSH_COUNTED_FCNTL

long remsh_test_syscall(long number, ...) __asm__("syscall");

long remsh_test_syscall(long number, ...) {
  using namespace remsh::test;
  static constinit std::atomic<void*> known = nullptr;
  std::va_list arguments;
  va_start(arguments, number);
  std::array<long, 6> all{};
  for (long& argument : all) argument = va_arg(arguments, long);
  va_end(arguments);
  if (number == SYS_futex) count(SystemCall::futex);
  return next<long(long, ...)>(known, "syscall")(number, all[0], all[1], all[2], all[3], all[4], all[5]);
}

#endif

}  // extern "C"
