// Runs a command on all slaves at once, and prints each line with the name of the slave that it came from.
#include "temporary_directory.hpp"

#include <remsh/master.hpp>
#include <remsh/slave/embedded.hpp>

#include <iostream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

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
      const auto print = [name = slave->name()](remsh::BytesView line) {
        static std::mutex printing;
        const std::lock_guard lock(printing);
        std::cout << name << ": " << line << std::endl;
      };
      try {
        slave->execute(command, {.out = remsh::lines(print), .err = remsh::merge});
      } catch (const remsh::Error& error) {
        print(error.what());
      }
    });
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
