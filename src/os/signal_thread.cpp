#include "os/signal_thread.hpp"

#include "os/supervisor.hpp"
#include "os/threads.hpp"

#include <pthread.h>
#include <unistd.h>

#include <chrono>
#include <utility>

namespace remsh {

namespace {

bool is_ignored(int signal) {
  struct sigaction action {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

SignalThread::SignalThread(std::initializer_list<int> signals, std::function<void(int)> on_signal)
    : on_signal_(std::move(on_signal)) {
  ::sigemptyset(&signals_);
  for (const int signal : signals) {
    if (is_ignored(signal)) continue;
    ::sigaddset(&signals_, signal);
    last_ = signal;
  }
  if (last_ == 0) return;
  ::pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  thread_ = start_thread("remsh-signals", [this] { run(); });
}

SignalThread::~SignalThread() {
  if (last_ == 0) return;
  is_over_ = true;
  ::pthread_kill(thread_.native_handle(), last_);
  thread_.join();
}

void SignalThread::run() {
  DoubledSignals doubled;
  for (;;) {
    siginfo_t info{};
    const int signal = ::sigwaitinfo(&signals_, &info);
    if (is_over_) {
      // One that was not sent by the destructor stays pending, for the next program of this process.
      if (signal > 0 && info.si_code != SI_TKILL) ::kill(::getpid(), signal);
      return;
    }
    if (signal > 0 && doubled.is_new(signal, is_passed_on(info), std::chrono::steady_clock::now())) on_signal_(signal);
  }
}

}  // namespace remsh
