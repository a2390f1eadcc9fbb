// Runs several commands on every slave at once, and sees to all of their ends in one thread.
#include "temporary_directory.hpp"

#include <remsh/master.hpp>
#include <remsh/slave/embedded.hpp>

#include <iostream>
#include <string>

using namespace std::chrono_literals;

int main(int argc, char** argv) try {
  if (auto code = remsh::run_embedded_slave(argc, argv)) return *code;

  const TemporaryDirectory directory;
  remsh::SlaveCollection slaves;
  remsh::LocalSlaveListener listener({.slave_collection = slaves, .embedded = true});
  for (const std::string name : {"ash", "birch", "cedar"}) listener.start_slave(directory / name, name);

  // A queue drives whatever is given to it, in the threads that drain it: here this one. Nobody waits for a single
  // call.
  remsh::CompletionQueue queue;
  for (const auto& slave : slaves.get_all_slaves()) {
    for (const std::string job : {"1", "2", "3"}) {
      slave->start_execute({"sh", "-c", "sleep 0.$0; echo job $0 is done; exit $(($0 / 3))", job}, {.deadline = 1min})
          .then(queue, [name = slave->name()](auto done) {
            try {
              const remsh::ExecuteResult result = done.wait();  // which it is: this gives the outcome, or throws
              std::cout << name << ": " << result.out << name << ": " << to_string(result) << std::endl;
            } catch (const remsh::Error& error) {
              std::cout << error.what() << std::endl;
            }
          });
    }
  }
  std::cout << queue.size() << " commands are under way" << std::endl;
  queue.run();

  // One that is waited for, after others were started: these go on meanwhile.
  const auto ash = slaves.get_slave(remsh::no_wait, [](const remsh::Slave& slave) { return slave.name() == "ash"; });
  auto slow = ash->start_execute({"sh", "-c", "sleep 0.2; echo slow"});
  auto quick = ash->start_execute({"echo", "quick"});
  std::cout << quick.wait().out << slow.wait().out;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
