// Sends a file to a slave, has it worked on there, and fetches what came of it.
#include "temporary_directory.hpp"

#include <remsh/master.hpp>
#include <remsh/slave/embedded.hpp>

#include <fstream>
#include <iostream>
#include <string>

int main(int argc, char** argv) try {
  if (auto code = remsh::run_embedded_slave(argc, argv)) return *code;

  const TemporaryDirectory directory;
  remsh::SlaveCollection slaves;
  remsh::LocalSlaveListener listener({.slave_collection = slaves, .embedded = true});
  const auto slave = listener.start_slave(directory / "slave", "ash");

  std::ofstream(directory / "words.txt") << "pear\napple\nplum\napple\n";
  const auto sent = slave->send(remsh::Source::file(directory / "words.txt"), "words.txt");
  std::cout << "sent " << sent.bytes << " bytes to " << slave->name() << '\n';

  // A Source and a Sink may also be memory or a callback.
  slave->send(remsh::Source::bytes("#!/bin/sh\nsort -u words.txt >sorted.txt\n"), "work", {.mode = 0755});
  const auto status = slave->execute({"./work"});
  if (!status.ok()) throw std::runtime_error("./work: " + status.err);

  const auto show = [](std::uint64_t done, std::optional<std::uint64_t> total) {
    std::cout << "fetched " << done << " of " << total.value_or(0) << " bytes\n";
  };
  slave->fetch("sorted.txt", remsh::Sink::file(directory / "sorted.txt"), {.progress = show});
  std::cout << std::ifstream(directory / "sorted.txt").rdbuf();

  // Nothing is replaced unless it is asked for, here as there.
  try {
    slave->send(remsh::Source::file(directory / "words.txt"), "sorted.txt");
  } catch (const remsh::RemoteError& error) {
    if (error.os() != std::errc::file_exists) throw;
    std::cout << error.what() << '\n';
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
