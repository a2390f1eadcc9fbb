// Threads of the library, which receive no signals of the host.
#include "os/threads.hpp"

#include <pthread.h>

#include <cstddef>
#include <cstring>

namespace remsh {

SignalsBlocked::SignalsBlocked() {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before_);
}

SignalsBlocked::~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

SigpipeBlocked::SigpipeBlocked() noexcept {
  sigset_t pipe;
  ::sigemptyset(&pipe);
  ::sigaddset(&pipe, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &pipe, &before_);
  if (::sigismember(&before_, SIGPIPE) == 1) {  // otherwise a pending signal would have been delivered
    sigset_t pending;
    ::sigemptyset(&pending);
    ::sigpending(&pending);
    was_pending_ = ::sigismember(&pending, SIGPIPE) == 1;
  }
}

SigpipeBlocked::~SigpipeBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

void SigpipeBlocked::consume() noexcept {
  if (was_pending_) return;
  sigset_t pending;
  ::sigemptyset(&pending);
  ::sigpending(&pending);
  if (::sigismember(&pending, SIGPIPE) != 1) return;  // the host ignores it, so there is none to wait for
  sigset_t pipe;
  ::sigemptyset(&pipe);
  ::sigaddset(&pipe, SIGPIPE);
  int signal = 0;
  ::sigwait(&pipe, &signal);
}

void keep_library_loaded() noexcept {
  // glibc unloads no library while a thread still has to run one of its destructors.
  struct Held {
    bool is_used = false;
    ~Held() { is_used = false; }
  };
  thread_local Held held;
  held.is_used = true;
}

void name_this_thread(const char* name) noexcept {
  char cut[16] = {};  // including the zero
  std::strncpy(cut, name, sizeof cut - 1);
  ::pthread_setname_np(::pthread_self(), cut);
}

}  // namespace remsh
