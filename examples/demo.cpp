// What ./dev demo runs: a master and three local slaves in one program, and in a few seconds what the library is for.
#include "demo_screen.hpp"
#include "temporary_directory.hpp"

#include <remsh/master.hpp>
#include <remsh/slave/embedded.hpp>

#include <fstream>
#include <future>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

namespace {

std::vector<std::string> shell(const std::string& script) { return {"/bin/sh", "-c", script}; }

/// Calls a function with each line of output, as soon as it is there.
template <class Function>
remsh::OutputCallback each_line(Function function) {
  return Lines(std::move(function));
}

void show_live_output(Screen& screen, remsh::SlaveCollection& slaves) {
  screen.heading("One command on all slaves at once, its output live");
  const auto all = slaves.get_all_slaves();
  std::vector<std::string> names;
  for (const auto& slave : all) names.push_back(slave->name());
  screen.columns(names);

  std::vector<std::jthread> callers;
  for (std::size_t column = 0; column < all.size(); ++column) {
    callers.emplace_back([&screen, slave = all[column], column] {
      const auto print = [&screen, column](std::string_view line) { screen.cell(column, line); };
      try {
        slave->execute(shell("for part in 1 2 3; do sleep 0.$((PACE + 2)); echo part $part of 3 is done; done"),
                       {.env = {{"PACE", std::to_string(column)}}, .out = each_line(print)});
      } catch (const remsh::Error& error) {
        screen.error(error.what());
      }
    });
  }
}

void show_reservation(Screen& screen, remsh::SlaveCollection& slaves) {
  screen.heading("A slave of one's own");
  const auto is_not_ash = [](const remsh::Slave& slave) { return slave.name() != "ash"; };
  const remsh::Lease lease = slaves.reserve({.filter = is_not_ash, .owner = "build 17"});
  for (const auto& status : slaves.snapshot()) {
    screen.line(status.info.name + (status.reserved ? " is reserved by " + status.reserved_by : " is free"));
  }
  screen.line("the next who wants one of these two gets " + slaves.get_slave(remsh::no_wait, is_not_ash)->name());
}

void show_files(Screen& screen, remsh::Slave& slave, const TemporaryDirectory& directory) {
  screen.heading("A file sent, worked on, and fetched");
  std::ofstream(directory / "words.txt") << "plum\napple\npear\napple\n";
  const auto sent = slave.send(remsh::Source::file(directory / "words.txt"), "words.txt");
  screen.line("sent " + std::to_string(sent.bytes) + " bytes to " + slave.name());
  slave.execute(shell("sort words.txt | uniq -c >counted.txt"));
  slave.fetch("counted.txt", remsh::Sink::file(directory / "counted.txt"));
  std::ifstream fetched(directory / "counted.txt");
  for (std::string line; std::getline(fetched, line);) screen.line(line);
}

void show_errors(Screen& screen, remsh::Slave& slave) {
  screen.heading("What goes wrong says what, where and why");
  try {
    slave.rename("results", "old-results");
  } catch (const remsh::RemoteError& error) {
    screen.error(error.what());
  }
  try {
    slave.execute({"mkae", "-j8"});
  } catch (const remsh::RemoteError& error) {
    screen.error(error.what());
  }
  const auto status = slave.execute(shell("echo that is no number >&2; exit 3"));
  screen.line("a command that fails is no error: exit code " + std::to_string(status.exit_code.value_or(-1)) +
              ", and it said: " + status.err.substr(0, status.err.find('\n')));
}

void show_timeout(Screen& screen, remsh::Slave& slave) {
  screen.heading("A time limit ends a whole tree of processes");
  const auto status = slave.execute(shell("sleep 60 & sleep 60 & setsid sleep 60 & jobs -p; wait"), {.timeout = 300ms});
  std::istringstream pids(status.out);
  std::string tree;
  int alive = 0;
  for (std::string pid; pids >> pid; tree += " " + pid) {
    if (slave.execute({"grep", "-qs", "State:.[^ZX]", "/proc/" + pid + "/status"}).ok()) ++alive;
  }
  screen.line("started processes" + tree + ", timed out: " + (status.timed_out ? "yes" : "no") +
              ", still alive: " + std::to_string(alive));
}

void show_lost_slave(Screen& screen, remsh::LocalSlaveListener& listener, const std::shared_ptr<remsh::Slave>& slave) {
  screen.heading("A slave that is killed at work");
  std::promise<void> at_work;
  const std::jthread killer([&] {
    at_work.get_future().wait();
    screen.line("killing " + slave->name());
    listener.kill_slave(slave);
  });
  try {
    slave->execute(shell("echo at work; sleep 60"), {.out = each_line([&](std::string_view line) {
                                                       screen.line(slave->name() + ": " + std::string(line));
                                                       at_work.set_value();
                                                     })});
  } catch (const remsh::ConnectionLost& error) {
    screen.error(error.what());
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (auto code = remsh::run_embedded_slave(argc, argv)) return *code;

  Screen screen;
  const TemporaryDirectory directory;
  remsh::SlaveCollection slaves;
  remsh::LocalSlaveListener listener({.slave_collection = slaves, .embedded = true});
  screen.heading("A master and three slaves on this machine");
  for (const std::string name : {"ash", "birch", "cedar"}) {
    const auto slave = listener.start_slave(directory / name, name);
    screen.line(name + ": " + slave->info().address + ", " + slave->info().software + " on " + slave->info().system);
  }

  show_live_output(screen, slaves);
  show_reservation(screen, slaves);
  show_files(screen, *slaves.find("ash"), directory);
  show_errors(screen, *slaves.find("birch"));
  show_timeout(screen, *slaves.find("birch"));
  show_lost_slave(screen, listener, slaves.find("cedar"));

  screen.heading("That was it");
  screen.line(std::to_string(slaves.size()) + " slaves are left, and end with this program.");
  screen.line(
      "next: README.md has a master in twenty lines; examples/ has one for each of these; ./dev test proves it all.");
} catch (const std::exception& error) {
  std::cerr << "the demo failed: " << error.what() << '\n';
  return 1;
}
