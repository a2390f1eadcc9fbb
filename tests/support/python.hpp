// Python: a program in Python that a test runs.
#pragma once

#include "support/temp_dir.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

extern char** environ;

namespace remsh::test {

/// The Pythons to test with: those that PYTHONS names, separated by spaces; else the one of the system.
inline std::vector<std::string> pythons() {
  const char* const named = std::getenv("PYTHONS");
  std::istringstream words(named != nullptr ? named : "python3");
  return {std::istream_iterator<std::string>(words), {}};
}

/// A program in Python that runs. It is killed with this object. One thread at a time.
class Python {
 public:
  /// Starts it with these arguments. It has the descriptor `given`, if there is one, as its descriptor 3.
  Python(const std::string& python, const std::string& program, std::vector<std::string> args, int given = -1) {
    args.insert(args.begin(), {python, "-c", program});
    std::vector<char*> argv;
    argv.reserve(args.size() + 1);
    for (std::string& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    const int flags = O_WRONLY | O_CREAT | O_TRUNC;
    ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, 1, (files_ / "out").c_str(), flags, 0600);
    ::posix_spawn_file_actions_addopen(&actions, 2, (files_ / "err").c_str(), flags, 0600);
    if (given >= 0) ::posix_spawn_file_actions_adddup2(&actions, given, 3);
    if (::posix_spawnp(&pid_, python.c_str(), &actions, nullptr, argv.data(), environ) != 0) pid_ = -1;
    ::posix_spawn_file_actions_destroy(&actions);
  }
  Python(const Python&) = delete;
  Python& operator=(const Python&) = delete;
  ~Python() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    wait();
  }

  [[nodiscard]] bool runs() const noexcept { return pid_ >= 0; }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  /// Waits for its end; returns its exit code, or -1.
  int wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  [[nodiscard]] std::string out() const { return content("out"); }
  [[nodiscard]] std::string err() const { return content("err"); }

 private:
  [[nodiscard]] std::string content(const char* name) const {
    std::ifstream file(files_ / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  TempDir files_;
  pid_t pid_ = -1;
};

}  // namespace remsh::test
