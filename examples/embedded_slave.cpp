// A program that does its own work and lets a master in beside it: a device, a service, a test rig. What only it knows
// it offers as an operation; the master is in this file, too, so that the example runs by itself.
#include "temporary_directory.hpp"

#include <remsh/master.hpp>
#include <remsh/slave.hpp>

#include <atomic>
#include <chrono>
#include <iostream>
#include <string>
#include <thread>

using namespace std::chrono_literals;

/// The program: it counts, and its master may ask how far it is and set it back.
class Device {
 public:
  explicit Device(const std::string& basedir, const std::string& master)
      : server_({.name = "counter", .basedir = basedir}) {
    server_.add_operation("count", [this](remsh::OperationContext&) {
      return remsh::Box{{"count", std::to_string(count_.load())}};
    });
    server_.add_operation("reset", [this](remsh::OperationContext&) {
      count_ = 0;
      return remsh::Box{};
    });
    serving_ = std::jthread([this, master] { server_.run(master); });  // and again, whenever the master comes back
  }
  ~Device() { server_.stop(); }

  void work() { ++count_; }

 private:
  std::atomic<int> count_ = 0;
  remsh::SlaveServer server_;
  std::jthread serving_;
};

int main() try {
  const TemporaryDirectory directory;
  remsh::SlaveCollection slaves;
  remsh::UnixSlaveListener listener({.slave_collection = slaves, .path = directory / "master"});
  listener.start();

  Device device(directory / "device", listener.address());
  for (int i = 0; i < 1000; ++i) device.work();

  const auto slave = slaves.get_slave(30s);
  if (!slave) throw std::runtime_error("the device did not come within 30 seconds");
  std::cout << slave->name() << " is at " << slave->call("count").get("count").value_or("?") << '\n';
  slave->call("reset");
  std::cout << "and now at " << slave->call("count").get("count").value_or("?") << '\n';
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
