#include "base/signal_name.hpp"

#include <csignal>

namespace remsh {

namespace {

struct SignalEntry {
  int signal;
  std::string_view name;
};

constexpr SignalEntry signal_entries[] = {
    {SIGABRT, "SIGABRT"}, {SIGALRM, "SIGALRM"}, {SIGHUP, "SIGHUP"},   {SIGINT, "SIGINT"},   {SIGKILL, "SIGKILL"},
    {SIGQUIT, "SIGQUIT"}, {SIGTERM, "SIGTERM"}, {SIGUSR1, "SIGUSR1"}, {SIGUSR2, "SIGUSR2"},
};

}  // namespace

std::string_view signal_name(int signal) noexcept {
  for (const SignalEntry& entry : signal_entries) {
    if (entry.signal == signal) return entry.name;
  }
  return {};
}

int signal_value(std::string_view name) noexcept {
  for (const SignalEntry& entry : signal_entries) {
    if (entry.name == name) return entry.signal;
  }
  return 0;
}

}  // namespace remsh
