// Sends a whole directory tree to a slave and fetches what it has become: tar at both ends, and nothing in between that
// touches a disk. Modes, links and odd names come through.
#include "temporary_directory.hpp"

#include <remsh/master.hpp>
#include <remsh/slave/embedded.hpp>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace fs = std::filesystem;

/// A tar of this host, of which we read the output or write the input. No shell is between, which would take odd bytes
/// in a path for its own.
class LocalTar {
 public:
  /// `theirs`: STDOUT_FILENO to read what it writes, STDIN_FILENO to write what it reads.
  LocalTar(const std::string& directory, std::vector<std::string> args, int theirs) {
    args.insert(args.begin(), {"tar", "-C", directory});
    std::vector<char*> argv;
    for (std::string& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    const bool reads = theirs == STDOUT_FILENO;
    pipe_ = ends[reads ? 0 : 1];
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, ends[reads ? 1 : 0], theirs);
    const int error = ::posix_spawnp(&pid_, "tar", &actions, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(ends[reads ? 1 : 0]);
    if (error != 0) ::close(pipe_), throw std::system_error(error, std::generic_category(), "tar");
  }
  LocalTar(const LocalTar&) = delete;
  LocalTar& operator=(const LocalTar&) = delete;
  ~LocalTar() { end(); }

  std::size_t read(std::span<char> buffer) {
    const ssize_t count = ::read(pipe_, buffer.data(), buffer.size());
    if (count < 0) throw std::system_error(errno, std::generic_category(), "read from tar");
    return static_cast<std::size_t>(count);
  }
  void write(remsh::BytesView bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::write(pipe_, bytes.data(), bytes.size());
      if (count < 0) throw std::system_error(errno, std::generic_category(), "write to tar");
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
  }
  void finish() {
    if (end() != 0) throw std::runtime_error("tar failed here");
  }

 private:
  int end() {
    if (pid_ < 0) return 0;
    ::close(pipe_);
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return status;
  }

  int pipe_ = -1;
  pid_t pid_ = -1;
};

void send_tree(remsh::Slave& slave, const std::string& from, const std::string& to) {
  LocalTar tar(from, {"-cf", "-", "."}, STDOUT_FILENO);
  slave.mkdir(to);
  const auto result =
      slave.execute({"tar", "-xf", "-"}, {.cwd = to, .in = [&](std::span<char> buffer) { return tar.read(buffer); }});
  if (!result.ok()) throw std::runtime_error("tar on " + slave.name() + ": " + result.err);
  tar.finish();
}

void fetch_tree(remsh::Slave& slave, const std::string& from, const std::string& to) {
  fs::create_directories(to);
  LocalTar tar(to, {"-xf", "-"}, STDIN_FILENO);
  const auto result =
      slave.execute({"tar", "-cf", "-", "."}, {.cwd = from, .out = [&](remsh::BytesView bytes) { tar.write(bytes); }});
  if (!result.ok()) throw std::runtime_error("tar on " + slave.name() + ": " + result.err);
  tar.finish();
}

int main(int argc, char** argv) try {
  std::signal(SIGPIPE, SIG_IGN);  // a tar that ends early is an error of write()
  if (auto code = remsh::run_embedded_slave(argc, argv)) return *code;
  const TemporaryDirectory directory;
  remsh::SlaveCollection slaves;
  remsh::LocalSlaveListener listener({.slave_collection = slaves, .embedded = true});
  const auto slave = listener.start_slave(directory / "slave", "ash");

  const std::string source = directory / "Anna's $(source)";
  fs::create_directories(source + "/include");
  std::ofstream(source + "/include/answer.h") << "#define ANSWER 42\n";
  fs::create_symlink("include/answer.h", source + "/answer");

  send_tree(*slave, source, "work");
  slave->execute({"sh", "-c", "grep -o '[0-9]*' answer > result"}, {.cwd = "work"});
  fetch_tree(*slave, "work", directory / "result");
  for (const auto& entry : fs::recursive_directory_iterator(directory / "result")) {
    std::cout << fs::relative(entry.path(), directory / "result").string() << '\n';
  }
  std::string answer;
  std::ifstream(directory / "result/result") >> answer;
  return answer == "42" && fs::is_symlink(directory / "result/answer") ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
