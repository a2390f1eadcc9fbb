// Waits for slaves, reserves the one that suits best, uses it, and gives it back.
#include "temporary_directory.hpp"

#include <remsh/master.hpp>
#include <remsh/slave/embedded.hpp>

#include <fstream>
#include <iostream>
#include <string>
#include <thread>

/// What this program wants to know of a slave is asked once, before the slave can be found by anybody.
class Worker : public remsh::Slave {
 public:
  using remsh::Slave::Slave;
  void setup() override {
    const auto files = read_info();  // what its operator wrote into the directory `info`
    if (const auto memory = files.find("memory"); memory != files.end()) gigabytes = std::stoi(memory->second);
  }
  int gigabytes = 0;
};

static const Worker& worker(const remsh::Slave& slave) { return dynamic_cast<const Worker&>(slave); }

int main(int argc, char** argv) try {
  using namespace std::chrono_literals;
  if (auto code = remsh::run_embedded_slave(argc, argv)) return *code;

  const TemporaryDirectory directory;
  remsh::SlaveCollection slaves;
  remsh::LocalSlaveListener listener(
      {.slave_collection = slaves, .slave_class = remsh::slave_class<Worker>(), .embedded = true});
  const std::jthread slaves_come([&] {
    for (const std::string size : {"4", "16", "64"}) {
      const std::string basedir = directory / ("worker-" + size);
      std::filesystem::create_directories(basedir + "/info");
      std::ofstream(basedir + "/info/memory") << size;
      listener.start_slave(basedir, "worker-" + size);
    }
  });
  if (!slaves.wait_for_slaves(3, 30s)) throw std::runtime_error("no three slaves within 30 seconds");

  const auto has_enough = [](const remsh::Slave& slave) { return worker(slave).gigabytes >= 8; };
  const auto smallest = [](const remsh::Slave& a, const remsh::Slave& b) {
    return worker(a).gigabytes < worker(b).gigabytes;
  };
  // Without `explain` the lease is empty if no slave comes in time; with it, an error says why.
  remsh::Lease lease = slaves.reserve(
      {.filter = has_enough, .compare = smallest, .owner = "build 17", .deadline = 30s, .explain = true});
  std::cout << "build 17 got " << lease->name() << '\n';
  for (const auto& status : slaves.snapshot()) {
    std::cout << "  " << status.info.name << (status.reserved ? " is reserved by " + status.reserved_by : " is free")
              << '\n';
  }
  const auto job = lease->workspace("build-17", {.deadline = 30s, .tag = "build 17"});  // for all that it does
  std::cout << job->execute({"sh", "-c", "echo built by process $$ in $(basename $PWD)"}).out;
  lease.release();
  std::cout << "and gave it back\n";
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
