// TwistedSlaves: a process with slaves on Twisted, for tests that are told to use it.
#pragma once

#include <fcntl.h>
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

  TwistedSlaves() {
    int orders[2] = {-1, -1};
    if (::pipe2(orders, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe2");
    orders_ = orders[1];
    std::string words[] = {"sh", "-c", "eval \"exec $REMSH_TEST_TWISTED\""};
    char* const argv[] = {words[0].data(), words[1].data(), words[2].data(), nullptr};
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, orders[0], 0);
    const int error = ::posix_spawnp(&pid_, "sh", &actions, nullptr, argv, environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(orders[0]);
    if (error != 0) throw std::system_error(error, std::generic_category(), "sh");
  }
  TwistedSlaves(const TwistedSlaves&) = delete;
  TwistedSlaves& operator=(const TwistedSlaves&) = delete;
  ~TwistedSlaves() {
    ::close(orders_);
    if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
  }

  /// Makes one call in at a master, once. None of these may contain a space.
  void call_in(const std::string& master, const std::string& name, const std::string& basedir) {
    const std::string order = master + ' ' + name + ' ' + basedir + '\n';
    if (::write(orders_, order.data(), order.size()) != static_cast<ssize_t>(order.size())) {
      throw std::system_error(errno, std::generic_category(), "the process with the slaves on Twisted");
    }
  }

 private:
  pid_t pid_ = -1;
  int orders_ = -1;
};

}  // namespace remsh::test
