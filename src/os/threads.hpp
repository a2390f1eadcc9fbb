// Threads of the library, which receive no signals of the host; writing to a pipe without a SIGPIPE for the host.
#pragma once

#include <signal.h>

#include <thread>
#include <utility>

namespace remsh {

/// Blocks all signals in this thread while it exists. A thread that is started meanwhile inherits that.
class SignalsBlocked {
 public:
  SignalsBlocked();
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked();

 private:
  sigset_t before_;
};

/// For one write to a pipe: keeps its SIGPIPE from the host, and leaves one that was pending before.
class SigpipeBlocked {
 public:
  SigpipeBlocked() noexcept;
  SigpipeBlocked(const SigpipeBlocked&) = delete;
  SigpipeBlocked& operator=(const SigpipeBlocked&) = delete;
  ~SigpipeBlocked();

  /// Call it if the write failed with EPIPE: removes the signal that came with it.
  void consume() noexcept;

 private:
  sigset_t before_;
  bool was_pending_ = false;
};

/// Sets the name that debuggers and top show for this thread; cut to the length that the system allows.
void name_this_thread(const char* name) noexcept;

/// Prevents the shared library with this code from being unloaded (dlclose()) while this thread runs.
void keep_library_loaded() noexcept;

/// Starts a thread that blocks all signals, has a name, and keeps the library loaded. Throws std::system_error if the
/// system cannot start it.
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
