// Signals by name.
#include "base/signal_name.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <string_view>

using namespace remsh;

TEST_CASE("a signal that ends a command has a name, and is found by it") {
  CHECK(signal_name(SIGTERM) == "SIGTERM");
  CHECK(signal_value("SIGINT") == SIGINT);
  for (const int signal : {SIGABRT, SIGALRM, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2}) {
    CHECK(signal_value(signal_name(signal)) == signal);
  }
}

TEST_CASE("other signals, numbers and words have none") {
  for (const int signal : {0, -1, 1000, SIGCHLD, SIGCONT, SIGSTOP, SIGWINCH}) CHECK(signal_name(signal).empty());
  for (const std::string_view name : {"", "TERM", "sigterm", "SIGCHLD", "15"}) CHECK(signal_value(name) == 0);
}
