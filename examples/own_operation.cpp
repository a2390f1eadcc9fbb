// A slave with an operation of its own, for what a command would be too slow or too clumsy.
#include "temporary_directory.hpp"

#include <remsh/master.hpp>
#include <remsh/slave.hpp>

#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>

/// Runs on the slave, on a thread that may block. Arguments and results are boxes: keys with bytes.
static remsh::Box disk_space(remsh::OperationContext& context) {
  const std::string path(context.arguments().get("path").value_or("."));
  if (path.starts_with('/')) throw std::runtime_error("only below the base directory, not " + path);
  const auto space = std::filesystem::space(std::filesystem::path(context.basedir()) / path);
  return {{"available", std::to_string(space.available)}, {"capacity", std::to_string(space.capacity)}};
}

int main(int argc, char** argv) try {
  const auto prepare = [](remsh::SlaveServer& server) { server.add_operation("disk-space", disk_space); };
  if (auto code = remsh::run_embedded_slave(argc, argv, prepare)) return *code;

  const TemporaryDirectory directory;
  remsh::SlaveCollection slaves;
  remsh::LocalSlaveListener listener({.slave_collection = slaves, .embedded = true});
  const auto slave = listener.start_slave(directory / "slave", "ash");

  const remsh::Box space = slave->call("disk-space", {{"path", "."}});
  std::cout << slave->name() << " has " << space.get("available").value_or("?") << " of "
            << space.get("capacity").value_or("?") << " bytes left\n";
  try {
    slave->call("disk-space", {{"path", "/etc"}});
  } catch (const remsh::RemoteError& error) {
    std::cout << error.what() << '\n';
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
