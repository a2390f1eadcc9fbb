// Threads of the library, which no signal of the host reaches; writing to a pipe without a SIGPIPE for the host.
#pragma once

#include <signal.h>

#include <thread>
#include <utility>

namespace remsh {

/// Blocks all signals in this thread for as long as it lives. A thread that is started meanwhile inherits that.
class SignalsBlocked {
 public:
  SignalsBlocked();
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked();

 private:
  sigset_t before_;
};

/// For the time of one write to a pipe: keeps a SIGPIPE of it from the host, and leaves one that was pending before.
class SigpipeBlocked {
 public:
  SigpipeBlocked() noexcept;
  SigpipeBlocked(const SigpipeBlocked&) = delete;
  SigpipeBlocked& operator=(const SigpipeBlocked&) = delete;
  ~SigpipeBlocked();

  /// The write failed with EPIPE: the signal that came with it is taken away.
  void consume() noexcept;

 private:
  sigset_t before_;
  bool was_pending_ = false;
};

/// The name that debuggers and top show for this thread; cut to what the system takes.
void name_this_thread(const char* name) noexcept;

/// Keeps a shared library that this code is in from being unloaded (dlclose()) while this thread runs.
void keep_library_loaded() noexcept;

/// A thread that blocks all signals, has a name, and keeps the library loaded. Throws std::system_error if the system
/// starts no more.
template <class Function>
std::thread start_thread(const char* name, Function&& function) {
  const SignalsBlocked blocked;
  return std::thread([name, body = std::forward<Function>(function)]() mutable {
    keep_library_loaded();
    name_this_thread(name);
    body();
  });
}

}  // namespace remsh
