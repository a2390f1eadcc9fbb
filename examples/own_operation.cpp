// A class of slaves with an operation of their own, for what a command would be too slow or too clumsy.
#include "temporary_directory.hpp"

#include <remsh/master.hpp>
#include <remsh/slave.hpp>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>

namespace fs = std::filesystem;

/// A path of the master's, with `..` and symbolic links resolved, so that it cannot lead out of the base directory
/// unseen. It is a check, not a jail: whoever can change links there meanwhile leads it elsewhere.
static fs::path below_basedir(const remsh::OperationContext& context, const std::string& path) {
  const fs::path base = fs::canonical(context.basedir());
  const fs::path resolved = fs::canonical(base / path);
  const auto [end, ignored] = std::mismatch(base.begin(), base.end(), resolved.begin(), resolved.end());
  if (end != base.end()) throw std::runtime_error("only below the base directory, not " + path);
  return resolved;
}

/// Runs on the slave, on a thread that may block. Arguments and results are boxes: keys with bytes.
static remsh::Box disk_space(remsh::OperationContext& context) {
  const std::string path(context.arguments().get("path").value_or("."));
  const auto space = fs::space(below_basedir(context, path));
  return {{"available", std::to_string(space.available)}, {"capacity", std::to_string(space.capacity)}};
}

/// What the master sees of it: a method like any other.
class Worker : public remsh::Slave {
 public:
  using remsh::Slave::Slave;

  /// Before anybody can find the slave in the collection. One that throws here is not let in.
  void setup() override {
    if (disk_space_left() < 1'000'000) throw std::runtime_error("less than a megabyte left");
  }

  std::uintmax_t disk_space_left(const std::string& path = ".") {
    return std::stoull(call("disk-space", {{"path", path}}).get("available").value_or("0"));
  }
};

int main(int argc, char** argv) try {
  const auto prepare = [](remsh::SlaveServer& server) { server.add_operation("disk-space", disk_space); };
  if (auto code = remsh::run_embedded_slave(argc, argv, prepare)) return *code;

  const TemporaryDirectory directory;
  remsh::SlaveCollection slaves;
  remsh::LocalSlaveListener listener(
      {.slave_collection = slaves, .slave_class = remsh::slave_class<Worker>(), .embedded = true});
  const auto worker = std::dynamic_pointer_cast<Worker>(listener.start_slave(directory / "slave", "ash"));

  std::cout << worker->name() << " has " << worker->disk_space_left() << " bytes left\n";
  for (const std::string outside : {"/etc", "../.."}) {
    try {
      worker->disk_space_left(outside);
      throw std::logic_error("it looked at " + outside);
    } catch (const remsh::RemoteError& error) {
      std::cout << error.what() << '\n';
    }
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
