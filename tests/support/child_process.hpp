// Running a piece of a test in a process of its own, where it may change limits and rights.
#pragma once

#include "support/skip.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__linux__)
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include <cerrno>
#include <cstddef>
#include <functional>
#include <iostream>

namespace remsh::test {

/// Forks, runs `work` in the child, and returns how the child ended, as waitpid() does; -1 if there is no child. `work`
/// must not use doctest, and the test program must have only one thread at that time.
inline int status_of_child(const std::function<int()>& work) {
  std::cout.flush();  // otherwise both processes would write what is in the buffer
  const pid_t child = ::fork();
  if (child < 0) return -1;
  if (child == 0) ::_exit(work());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

/// As status_of_child(), but returns the result of `work` (0..255); -1 if a signal ended the child.
inline int run_in_child(const std::function<int()>& work) {
  const int status = status_of_child(work);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// For a check that the result of a child is 0. If the child could not be set up here, this is 0, and the test counts
/// as skipped.
inline int unless_skipped(int code) {
  if (code != skipped) return code;
  skip("this user or this system cannot set it up");
  return 0;
}

/// Makes root an ordinary user, who is subject to permissions. Only in a child.
inline bool drop_privileges() {
  if (::geteuid() != 0) return true;
  constexpr uid_t nobody = 65534;
  return ::setgid(nobody) == 0 && ::setuid(nobody) == 0;
}

/// Makes a system call fail with an error from now on, as on a system that does not have it. False if that cannot be
/// done here. Only in a child.
inline bool refuse_system_call([[maybe_unused]] unsigned number, [[maybe_unused]] unsigned error) {
#if defined(__linux__)
  sock_filter filter[] = {
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},  // the number is first in struct seccomp_data
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, number},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | error},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  sock_fprog program{4, filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
#else
  return false;
#endif
}

/// Makes O_TMPFILE fail from now on, in this thread and its children, as on a file system that has no files without a
/// name. False if that cannot be done here. Only in a child, or in a thread of its own.
inline bool refuse_unnamed_files() {
#if defined(__linux__)
  constexpr unsigned flags = offsetof(seccomp_data, args) + 2 * sizeof(__u64);  // the lower half, as on x86 and ARM
  sock_filter filter[] = {
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 3, SYS_openat},
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, flags},
      {BPF_JMP | BPF_JSET | BPF_K, 0, 1, O_TMPFILE & ~O_DIRECTORY},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EOPNOTSUPP},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  sock_fprog program{6, filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
#else
  return false;
#endif
}

}  // namespace remsh::test
