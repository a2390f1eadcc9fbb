#include <remsh/base/stop_on_signals.hpp>

#include "os/signal_thread.hpp"

#include <pthread.h>
#include <signal.h>

namespace remsh {

namespace {

/// Ends the program in the default way of the signal. On a thread that waits for signals.
void end_by(int signal) {
  struct sigaction usual {};
  usual.sa_handler = SIG_DFL;
  ::sigaction(signal, &usual, nullptr);
  sigset_t only;
  ::sigemptyset(&only);
  ::sigaddset(&only, signal);
  ::pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
  ::raise(signal);
}

struct StopBySignals {
  std::stop_source stop;
  SignalThread signals{{SIGINT, SIGTERM}, [this](int signal) {
                         if (!stop.request_stop()) end_by(signal);
                       }};
};

}  // namespace

std::stop_token stop_on_signals() {
  static StopBySignals all;
  return all.stop.get_token();
}

}  // namespace remsh
