// Signals as a stop token; each in a process of its own.
#include <remsh/base/stop_on_signals.hpp>

#include "support/child_process.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <functional>
#include <future>
#include <thread>

using namespace remsh;
using namespace remsh::test;

namespace {

/// Waits until the token is stopped.
void wait_until_stopped(const std::stop_token& stop) {
  std::promise<void> stopped;
  const std::stop_callback callback(stop, [&stopped] { stopped.set_value(); });
  stopped.get_future().wait();
}

}  // namespace

TEST_CASE("a signal requests a stop, whatever thread it comes to, and the second one ends the program") {
  for (const int signal : {SIGINT, SIGTERM}) {
    CAPTURE(signal);
    const int status = status_of_child([signal] {
      const std::stop_token stop = stop_on_signals();
      if (stop.stop_requested() || stop_on_signals() != stop) return 1;
      std::thread other([signal] { ::kill(::getpid(), signal); });
      other.join();
      wait_until_stopped(stop);
      if (!stop_on_signals().stop_requested()) return 2;
      ::kill(::getpid(), signal);
      std::promise<void>().get_future().wait();
      return 3;
    });
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == signal);
  }
}

TEST_CASE("a program that gets no signal ends as ever") {
  CHECK(run_in_child([]() -> int {
          const std::stop_token stop = stop_on_signals();
          std::exit(stop.stop_requested() ? 1 : 7);  // and runs the destructors
        }) == 7);
}

TEST_CASE("a signal that is ignored stays ignored") {
  CHECK(run_in_child([] {
          std::signal(SIGINT, SIG_IGN);
          const std::stop_token stop = stop_on_signals();
          ::kill(::getpid(), SIGINT);
          ::kill(::getpid(), SIGTERM);
          wait_until_stopped(stop);  // by the second one
          ::kill(::getpid(), SIGINT);
          return 7;
        }) == 7);
}
