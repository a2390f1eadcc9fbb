// BuildbotWorker: a buildbot-worker as the system has it, which a test creates and runs.
#pragma once

#include "support/temp_dir.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

extern char** environ;

namespace remsh::test {

/// Whether this system has the program buildbot-worker.
inline bool has_buildbot_worker() {
  static const bool is_there = std::system("command -v buildbot-worker >/dev/null 2>&1") == 0;
  return is_there;
}

/// The protocols, as buildbot-worker calls them.
inline const std::string pb = "pb";
inline const std::string msgpack = "msgpack_experimental_v7";

/// A worker in a directory of its own, unmodified. It is killed with this object. One thread at a time.
class BuildbotWorker {
 public:
  struct Options {
    std::string name = "b1";
    std::string password = "pw1";
    std::vector<std::string> more = {};  ///< options of create-worker
    std::string trusted = {};            ///< the file of a certificate that it trusts: it comes by TLS to localhost
  };

  BuildbotWorker(const std::string& protocol, std::uint16_t port, Options options)
      : base_(dir_ / "worker"), trusted_(options.trusted) {
    std::vector<std::string> create{"buildbot-worker", "create-worker", "--quiet", "--maxdelay=1",
                                    "--protocol=" + protocol};
    create.insert(create.end(), options.more.begin(), options.more.end());
    if (!options.trusted.empty()) create.emplace_back("--use-tls");
    const std::string host = options.trusted.empty() ? "127.0.0.1:" : "localhost:";
    create.insert(create.end(), {base_, host + std::to_string(port), options.name, options.password});
    const pid_t creator = start(create);
    int status = 0;
    ::waitpid(creator, &status, 0);
    if (status != 0) throw std::runtime_error("create-worker: " + dir_.read("output"));
    run();
  }
  BuildbotWorker(const std::string& protocol, std::uint16_t port) : BuildbotWorker(protocol, port, Options()) {}
  BuildbotWorker(const BuildbotWorker&) = delete;
  BuildbotWorker& operator=(const BuildbotWorker&) = delete;
  ~BuildbotWorker() { kill(); }

  void run() { pid_ = start({"buildbot-worker", "start", "--nodaemon", base_}); }

  void kill() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    static_cast<void>(wait());
  }

  /// Waits for its end. Returns the exit code, or minus the signal.
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  [[nodiscard]] bool runs() const { return pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG | WNOWAIT) == 0; }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  /// Its base directory.
  [[nodiscard]] const std::string& base() const noexcept { return base_; }
  [[nodiscard]] std::string log() const { return dir_.read("worker/twistd.log"); }

 private:
  pid_t start(std::vector<std::string> args) {
    std::vector<char*> argv;
    argv.reserve(args.size() + 1);
    for (std::string& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    std::string trusted = "SSL_CERT_FILE=" + trusted_;
    std::vector<char*> variables;
    if (!trusted_.empty()) variables.push_back(trusted.data());  // the first one counts
    for (char** variable = environ; *variable != nullptr; ++variable) variables.push_back(*variable);
    variables.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, 1, (dir_ / "output").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::posix_spawn_file_actions_adddup2(&actions, 1, 2);
    pid_t pid = -1;
    const int error = ::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), variables.data());
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw std::system_error(error, std::generic_category(), args[0]);
    return pid;
  }

  const TempDir dir_;
  const std::string base_;
  const std::string trusted_;
  pid_t pid_ = -1;
};

}  // namespace remsh::test
