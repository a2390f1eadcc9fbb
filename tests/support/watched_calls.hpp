// Watches a system call of one thread: the test sees each call before it happens, and may let it fail.
#pragma once

#include "support/skip.hpp"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <thread>

namespace remsh::test {

#if defined(__SANITIZE_THREAD__)
inline constexpr bool counts_descriptors = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
inline constexpr bool counts_descriptors = true;
#else
inline constexpr bool counts_descriptors = false;
#endif
#else
inline constexpr bool counts_descriptors = false;
#endif

/// One call, before it happens.
struct WatchedCall {
  std::uint64_t arguments[6];
};

/// Runs `work` in a thread of its own. Whenever that thread makes the system call with this number, it waits for
/// `observer`, which runs in this thread. If `observer` returns 0, the call happens; if it returns an errno value, the
/// call fails with that. False if this system does not allow it; then `work` did not run.
inline bool watch_calls(unsigned number, const std::function<int(const WatchedCall&)>& observer,
                        const std::function<void()>& work) {
  if (counts_descriptors) {
    skip("the thread sanitizer does not know of the descriptor by which calls are watched, and fails");
    return false;
  }
  sock_filter filter[] = {
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, number},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_USER_NOTIF},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  std::promise<int> listening;
  std::thread thread([&] {
    sock_fprog program{4, filter};
    const bool is_possible = ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    const long listener =
        is_possible ? ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program) : -1;
    listening.set_value(static_cast<int>(listener));
    if (listener >= 0) work();
  });
  const int listener = listening.get_future().get();
  if (listener >= 0) {
    for (;;) {
      pollfd ready{listener, POLLIN, 0};
      if (::poll(&ready, 1, -1) < 0) continue;
      if ((ready.revents & POLLIN) == 0) break;  // the thread has ended
      seccomp_notif call{};
      if (::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) continue;
      WatchedCall shown{};
      for (std::size_t i = 0; i < 6; ++i) shown.arguments[i] = call.data.args[i];
      const int error = observer(shown);
      seccomp_notif_resp answer{};
      answer.id = call.id;
      answer.error = -error;
      if (error == 0) answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
      ::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
    ::close(listener);
  }
  thread.join();
  if (listener < 0) skip("this system does not let a thread's calls be watched");
  return listener >= 0;
}

}  // namespace remsh::test
