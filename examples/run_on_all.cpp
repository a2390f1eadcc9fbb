// Runs a command on all slaves at once, and prints each line with the name of the slave that it came from.
#include "temporary_directory.hpp"

#include <remsh/master.hpp>
#include <remsh/slave/embedded.hpp>

#include <iostream>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

/// Output comes in pieces that end anywhere; this prints whole lines, and those of different slaves never mixed.
class LinePrinter {
 public:
  explicit LinePrinter(std::string prefix) : prefix_(std::move(prefix)) {}
  ~LinePrinter() {
    if (!line_.empty()) add("\n");
  }

  void add(remsh::BytesView bytes) {
    line_ += bytes;
    for (std::size_t end = 0; (end = line_.find('\n')) != std::string::npos; line_.erase(0, end + 1)) {
      const std::lock_guard lock(printing);
      std::cout << prefix_ << line_.substr(0, end + 1) << std::flush;
    }
  }

 private:
  static inline std::mutex printing;
  std::string prefix_;
  std::string line_;
};

int main(int argc, char** argv) try {
  if (auto code = remsh::run_embedded_slave(argc, argv)) return *code;

  const TemporaryDirectory directory;
  remsh::SlaveCollection slaves;
  remsh::LocalSlaveListener listener({.slave_collection = slaves, .embedded = true});
  for (const std::string name : {"ash", "birch", "cedar"}) listener.start_slave(directory / name, name);

  const std::vector<std::string> command{"sh", "-c", "for i in 1 2 3; do echo \"$i from process $$\"; sleep 0.1; done"};
  std::vector<std::jthread> callers;
  for (const auto& slave : slaves.get_all_slaves()) {
    callers.emplace_back([&command, slave] {
      LinePrinter out(slave->name() + ": ");
      try {
        slave->execute(command, {.out = [&out](remsh::BytesView bytes) { out.add(bytes); }, .err = remsh::merge});
      } catch (const remsh::Error& error) {
        out.add(std::string(error.what()) + "\n");
      }
    });
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
