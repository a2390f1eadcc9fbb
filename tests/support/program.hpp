// Program: remsh-slave, as a process that a test starts and waits for.
#pragma once

#include "support/temp_dir.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

extern char** environ;

namespace remsh::test {

/// The worker of a remsh-slave that has begun to serve; -1 if there is none.
inline pid_t worker_of(pid_t supervisor) {
  const std::string process = std::to_string(supervisor);
  std::ifstream children("/proc/" + process + "/task/" + process + "/children");
  pid_t worker = -1;
  return children >> worker ? worker : -1;
}

/// The result of a run of remsh-slave.
struct Run {
  int code = -1;
  std::string out;
  std::string err;
};

/// Runs remsh-slave, found on the PATH, and keeps its output in files. Its standard input and output can be redirected.
/// It has no terminal. One thread at a time.
class Program {
 public:
  explicit Program(std::vector<std::string> args, const std::string& out = {}, const std::string& in = "/dev/null") {
    args.insert(args.begin(), "remsh-slave");
    std::vector<char*> argv;
    argv.reserve(args.size() + 1);
    for (std::string& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    const int flags = O_WRONLY | O_CREAT | O_TRUNC;
    ::posix_spawn_file_actions_addopen(&actions, 0, in.c_str(), O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, 1, (out.empty() ? files_ / "out" : out).c_str(), flags, 0600);
    ::posix_spawn_file_actions_addopen(&actions, 2, (files_ / "err").c_str(), flags, 0600);
    // Default signal handling, as from a service manager, even if these tests run under nohup or in the background.
    sigset_t usual;
    ::sigemptyset(&usual);
    for (const int signal : {SIGHUP, SIGINT, SIGTERM}) ::sigaddset(&usual, signal);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    ::posix_spawnattr_setsigdefault(&attributes, &usual);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    const int error = ::posix_spawnp(&pid_, "remsh-slave", &actions, &attributes, argv.data(), environ);
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw std::system_error(error, std::generic_category(), "remsh-slave, which must be on the PATH");
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (pid_ < 0) return;
    const pid_t worker = worker_of(pid_);
    ::kill(worker > 0 ? worker : pid_, SIGKILL);  // its supervisor ends what it has started, and then itself
    ::waitpid(pid_, nullptr, 0);
  }

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  /// The worker of a slave whose supervisor pid() is, and which has begun to serve.
  [[nodiscard]] pid_t worker() const {
    const pid_t found = worker_of(pid_);
    if (found < 0) throw std::runtime_error("remsh-slave has no worker");
    return found;
  }

  /// Waits for its end. Returns the exit code, or minus the signal.
  int wait() {
    int status = 0;
    if (::waitpid(std::exchange(pid_, -1), &status, 0) < 0) return -1000;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  /// Waits for its end. Returns the result, without output that was redirected.
  Run finish() {
    const int code = wait();
    return {code, out(), err()};
  }

  [[nodiscard]] std::string out() const { return files_.read("out"); }
  [[nodiscard]] std::string err() const { return files_.read("err"); }

 private:
  const TempDir files_;
  pid_t pid_ = -1;
};

}  // namespace remsh::test
