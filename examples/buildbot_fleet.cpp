// buildbot_fleet: runs one command on all workers, those of Buildbot and slaves of remsh, side by side.
//
//   buildbot_fleet KEYFILE ADDRESS COUNT [COMMAND...]      # ADDRESS: tcp:127.0.0.1:9989, for workers of this host
//
// KEYFILE has a line for each: "NAME KEY" for a slave of remsh, "NAME password=PASSWORD" for a worker of Buildbot.
// Point workers at this program by one line of their buildbot.tac: docs/buildbot.md. It waits until COUNT of them are
// there.
#include <remsh/master.hpp>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

using namespace std::chrono_literals;

int main(int argc, char** argv) try {
  if (argc < 4) {
    std::cerr << "usage: buildbot_fleet KEYFILE ADDRESS COUNT [COMMAND...]\n";
    return 2;
  }
  const auto count = static_cast<std::size_t>(std::atoi(argv[3]));
  std::vector<remsh::Bytes> command(argv + 4, argv + argc);
  if (command.empty()) command = {"uname", "-a"};

  remsh::SlaveCollection slaves;
  remsh::TcpSlaveListener listener(
      {.slave_collection = slaves,
       .address = argv[2],
       .keys = remsh::KeyFile(argv[1]),
       .protocols = {remsh::SlaveProtocol::remsh2(), remsh::SlaveProtocol::buildbot_msgpack(),
                     remsh::SlaveProtocol::buildbot_pb()},
       .log = remsh::log_to(std::clog)});
  listener.start();
  std::cout << "listens on " << listener.address() << std::endl;
  if (!slaves.wait_for_slaves(count, 60s)) {
    std::cerr << "only " << slaves.size() << " came within a minute\n";
    return 1;
  }

  remsh::CompletionQueue queue;
  int failures = 0;
  for (const auto& slave : slaves.get_all_slaves()) {
    slave->start_execute(command).then(queue, [&, slave](remsh::Pending<remsh::ExecuteResult> done) {
      const std::string who = slave->name() + " (" + slave->info().protocol + "): ";
      try {
        const remsh::ExecuteResult result = done.wait();
        std::cout << who << to_string(result) << '\n' << result.out << result.err;
        if (!result.ok()) ++failures;
      } catch (const remsh::Error& error) {
        std::cout << who << error.what() << '\n';
        ++failures;
      }
    });
  }
  queue.run();
  return failures == 0 ? 0 : 1;
} catch (const remsh::Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
