// TwistedSlaves: a process with slaves on Twisted, for tests that are told to use it.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>

extern char** environ;

namespace remsh::test {

/// One process for all tests of a program, since it takes a while to start; it ends with the program. One thread at a
/// time. The environment has its command line: tests/twisted/with_twisted.py puts it there.
class TwistedSlaves {
 public:
  [[nodiscard]] static bool are_wanted() { return std::getenv("REMSH_TEST_TWISTED") != nullptr; }

  /// "keyless", "key" or "tls", which is with keys too.
  [[nodiscard]] static std::string over() { return environment("REMSH_TEST_TWISTED_OVER"); }

  /// With TLS: the certificate of the master that the slaves take, and its key, in PEM; and another one.
  [[nodiscard]] static std::string certificate() { return environment("REMSH_TEST_CERTIFICATE"); }
  [[nodiscard]] static std::string other_certificate() { return environment("REMSH_TEST_OTHER_CERTIFICATE"); }

  TwistedSlaves() {
    int orders[2] = {-1, -1};
    int ends[2] = {-1, -1};
    if (::pipe2(orders, O_CLOEXEC) != 0 || ::pipe2(ends, O_CLOEXEC) != 0) {
      throw std::system_error(errno, std::generic_category(), "pipe2");
    }
    orders_ = orders[1];
    ends_ = ends[0];
    std::string words[] = {"sh", "-c", "eval \"exec $REMSH_TEST_TWISTED\""};
    char* const argv[] = {words[0].data(), words[1].data(), words[2].data(), nullptr};
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, orders[0], 0);
    ::posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    const int error = ::posix_spawnp(&pid_, "sh", &actions, nullptr, argv, environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(orders[0]);
    ::close(ends[1]);
    if (error != 0) throw std::system_error(error, std::generic_category(), "sh");
  }
  TwistedSlaves(const TwistedSlaves&) = delete;
  TwistedSlaves& operator=(const TwistedSlaves&) = delete;
  ~TwistedSlaves() {
    ::close(orders_);
    if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
    ::close(ends_);
  }

  /// Makes one call in at a master, once. `more` is what farm_slave.py takes behind these. None of them may contain a
  /// space.
  void call_in(const std::string& master, const std::string& name, const std::string& basedir,
               const std::string& more = {}) {
    const std::string order = master + ' ' + name + ' ' + basedir + (more.empty() ? "" : ' ' + more) + '\n';
    if (::write(orders_, order.data(), order.size()) != static_cast<ssize_t>(order.size())) {
      throw std::system_error(errno, std::generic_category(), "the process with the slaves on Twisted");
    }
  }

  /// Waits until one is over that was made to call in, and gives its name and why; empty where that does not happen.
  std::string next_end() {
    std::string line;
    for (pollfd ready{ends_, POLLIN, 0}; ::poll(&ready, 1, 60000) == 1;) {
      char byte = 0;
      if (::read(ends_, &byte, 1) != 1) break;
      if (byte == '\n') return line;
      line += byte;
    }
    return {};
  }

 private:
  static std::string environment(const char* name) {
    const char* const value = std::getenv(name);
    return value == nullptr ? "" : value;
  }

  pid_t pid_ = -1;
  int orders_ = -1;
  int ends_ = -1;
};

}  // namespace remsh::test
