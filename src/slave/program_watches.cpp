#include "slave/program_watches.hpp"

#include "os/threads.hpp"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace remsh {

SignalThread::SignalThread(SlaveServer& server, Hangup on_hangup) {
  ::sigemptyset(&signals_);
  for (const int signal : {SIGINT, SIGTERM, SIGUSR2}) ::sigaddset(&signals_, signal);
  struct sigaction hangup {};
  ::sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN) ::sigaddset(&signals_, SIGHUP);  // nohup wants it to be survived
  sigset_t blocked = signals_;
  ::sigaddset(&blocked, SIGPIPE);  // a closed stderr is no reason to end
  ::pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
  thread_ = std::thread([this, &server, on_hangup] { run(server, on_hangup); });
}

SignalThread::~SignalThread() {
  done_ = true;
  ::pthread_kill(thread_.native_handle(), SIGUSR2);
  thread_.join();
}

void SignalThread::run(SlaveServer& server, Hangup on_hangup) {
  int signal = 0;
  while (!done_ && ::sigwait(&signals_, &signal) == 0) {
    if (signal == SIGHUP && on_hangup == Hangup::connects) {
      server.connect_now();
    } else if (signal == SIGINT || signal == SIGTERM || signal == SIGHUP) {
      server.stop();
    }
  }
}

StopAtEof::StopAtEof(SlaveServer& server, UniqueFd in) : in_(std::move(in)) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  wake_.reset(ends[0]);
  waker_.reset(ends[1]);
  thread_ = start_thread("remsh-stdin", [this, &server] {
    if (wait()) server.stop();
  });
}

StopAtEof::~StopAtEof() {
  waker_.reset();
  thread_.join();
}

/// True at the end of the input; false if this object is destroyed before.
bool StopAtEof::wait() const {
  for (;;) {
    std::array<pollfd, 2> ready{{{in_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
    if (::poll(ready.data(), ready.size(), -1) < 0) continue;  // interrupted
    if (ready[1].revents != 0) return false;
    std::array<char, 1024> dropped{};
    const ssize_t count = ::read(in_.get(), dropped.data(), dropped.size());
    if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN)) return true;
  }
}

}  // namespace remsh
