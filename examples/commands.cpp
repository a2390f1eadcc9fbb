// Starts commands on a slave, types into one, interrupts another, and gives each build of a builder a name.
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
  const auto slave = listener.start_slave(directory / "ash", "ash");
  const auto print = remsh::lines([](remsh::BytesView line) { std::cout << "  " << line << std::endl; });

  std::cout << "a command that is typed into\n";
  auto sort = slave->start({"sort"}, {.in = remsh::Source::writes(), .out = print});
  for (const char* word : {"pear\n", "apple\n", "plum\n"}) sort.write(word);
  sort.close_stdin();
  sort.wait();

  std::cout << "a command that takes too long\n";
  auto endless = slave->start({"sh", "-c", "trap 'echo cleaning up; exit 1' TERM; while :; do sleep 0.1; done"},
                              {.out = print, .tag = "by hand"});
  for (const auto& one : slave->commands()) std::cout << "  " << one.arguments[0] << " runs, " << one.tag << '\n';
  if (!endless.wait_until(500ms)) endless.interrupt("it takes too long");
  std::cout << "  " << to_string(endless.wait()) << '\n';

  std::cout << "builders\n";
  const auto [builders, left_over] = slave->set_builders({{"linux-gcc"}, {"linux-clang", "clang"}});
  auto build = builders[0]->start_build("17");
  auto make = build->start({"sleep", "1000"});
  for (const auto& one : slave->commands()) std::cout << "  " << one.builder << " builds " << one.tag << '\n';
  std::cout << "  interrupted: " << builders[0]->interrupt_all("the day is over") << '\n';
  std::cout << "  " << to_string(make.wait()) << '\n';
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
