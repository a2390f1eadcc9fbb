// SignalThread and StopAtEof: what stops the server of a slave program from outside.
#pragma once

#include "os/unique_fd.hpp"

#include <remsh/slave/slave_server.hpp>

#include <signal.h>

#include <atomic>
#include <cstdint>
#include <thread>

namespace remsh {

/// SIGINT and SIGTERM stop the server; SIGHUP stops it too, or makes it connect now. A thread of its own takes them,
/// since a signal handler may do next to nothing. To be made before other threads are, so that they have the signals
/// blocked.
class SignalThread {
 public:
  enum class Hangup : std::uint8_t { stops, connects };

  SignalThread(SlaveServer& server, Hangup on_hangup);
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;
  ~SignalThread();

 private:
  void run(SlaveServer& server, Hangup on_hangup);

  sigset_t signals_{};
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

/// The end of standard input stops the server; what comes by it is dropped.
class StopAtEof {
 public:
  StopAtEof(SlaveServer& server, UniqueFd in);
  StopAtEof(const StopAtEof&) = delete;
  StopAtEof& operator=(const StopAtEof&) = delete;
  ~StopAtEof();

 private:
  [[nodiscard]] bool wait() const;

  const UniqueFd in_;
  UniqueFd wake_;
  UniqueFd waker_;
  std::thread thread_;
};

}  // namespace remsh
