// Sends a whole directory tree to a slave and fetches what it has become: tar at both ends, and nothing in between that
// touches a disk. Modes, links and odd names come through.
#include "temporary_directory.hpp"

#include <remsh/master.hpp>
#include <remsh/slave/embedded.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

namespace fs = std::filesystem;

/// A command of this host, of which we read or write one end.
class LocalCommand {
 public:
  LocalCommand(const std::string& command, const char* mode) : pipe_(::popen(command.c_str(), mode), ::pclose) {
    if (!pipe_) throw std::runtime_error(command);
  }
  std::size_t read(std::span<char> buffer) { return std::fread(buffer.data(), 1, buffer.size(), pipe_.get()); }
  void write(remsh::BytesView bytes) {
    if (std::fwrite(bytes.data(), 1, bytes.size(), pipe_.get()) < bytes.size()) throw std::runtime_error("tar is gone");
  }
  void finish() {
    if (::pclose(pipe_.release()) != 0) throw std::runtime_error("tar failed here");
  }

 private:
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe_;
};

void send_tree(remsh::Slave& slave, const std::string& from, const std::string& to) {
  LocalCommand tar("tar -C '" + from + "' -cf - .", "r");
  slave.mkdir(to);
  const auto result =
      slave.execute({"tar", "-xf", "-"}, {.cwd = to, .in = [&](std::span<char> buffer) { return tar.read(buffer); }});
  if (!result.ok()) throw std::runtime_error("tar on " + slave.name() + ": " + result.err);
  tar.finish();
}

void fetch_tree(remsh::Slave& slave, const std::string& from, const std::string& to) {
  fs::create_directories(to);
  LocalCommand tar("tar -C '" + to + "' -xf -", "w");
  const auto result = slave.execute({"tar", "-cf", "-", "."},
                                    {.cwd = from, .stdout_cb = [&](remsh::BytesView bytes) { tar.write(bytes); }});
  if (!result.ok()) throw std::runtime_error("tar on " + slave.name() + ": " + result.err);
  tar.finish();
}

int main(int argc, char** argv) try {
  if (auto code = remsh::run_embedded_slave(argc, argv)) return *code;
  const TemporaryDirectory directory;
  remsh::SlaveCollection slaves;
  remsh::LocalSlaveListener listener({.slave_collection = slaves, .embedded = true});
  const auto slave = listener.start_slave(directory / "slave", "ash");

  fs::create_directories(directory / "source/include");
  std::ofstream(directory / "source/include/answer.h") << "#define ANSWER 42\n";
  fs::create_symlink("include/answer.h", directory / "source/answer");

  send_tree(*slave, directory / "source", "work");
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
