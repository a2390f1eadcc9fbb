// Starts a slave that connects back by a key made for it alone. What is started are the arguments: on this host
//
//     launch remsh-slave
//
// and on others, which need no key file then, `launch ssh HOST remsh-slave` with an address that they reach: see
// SlaveLauncher's option `master`.
#include "temporary_directory.hpp"

#include <remsh/master.hpp>

#include <iostream>
#include <string>
#include <vector>

int main(int argc, char** argv) try {
  const TemporaryDirectory directory;
  remsh::SlaveCollection slaves;
  remsh::TcpSlaveListener listener({.slave_collection = slaves,
                                    .address = "tls:127.0.0.1:0",
                                    .keys = remsh::KeyRing(),
                                    .log = remsh::log_to(std::clog)});
  listener.start();

  remsh::SlaveLauncher launcher(
      {.listener = listener, .command = std::vector<std::string>(argv + 1, argv + argc)});  // none: remsh-slave
  const auto slave = launcher.start_slave(directory / "worker", "worker");
  std::cout << slave->name() << " has proven the key " << slave->info().key_id << ", and says "
            << slave->execute({"echo", "hello"}).out;

  // A connection that is lost is nothing to it: it comes again, as another Slave, for as long as its process lives.
  slave->disconnect("to see whether it comes again");
  const auto again =
      slaves.get_slave(remsh::block, [&slave](const remsh::Slave& other) { return &other != slave.get(); });
  std::cout << again->name() << " is back" << std::endl;

  return launcher.kill_slave(again) ? 0 : 1;  // with its process goes the key
} catch (const remsh::Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
