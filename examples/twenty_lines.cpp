#include <iostream>
#include <remsh/master.hpp>

int main() try {
  const auto stop = remsh::stop_on_signals();  // Ctrl-C ends what follows, and the command on the slave
  remsh::SlaveCollection slaves;
  remsh::TcpSlaveListener listener(
      {.slave_collection = slaves, .keys = remsh::KeyFile("slaves.keys"), .log = remsh::log_to(std::clog)});
  listener.start();
  std::cout << "now start a slave:  remsh-slave --key worker1.key --master " << listener.address() << std::endl;

  auto slave = slaves.get_slave({.filter = remsh::label("os", "debian"), .stop = stop});
  slave->mkdir("project");
  auto print = [](remsh::BytesView bytes) { std::cout << bytes; };
  auto status = slave->execute({"sh", "-c", "echo hello from $(hostname) | tee out.txt"},
                               {.cwd = "project", .out = print, .timeout = std::chrono::minutes(10), .stop = stop});
  slave->fetch("project/out.txt", remsh::Sink::file("out.txt"), {.overwrite = true});
  return status.ok() ? 0 : 1;
} catch (const remsh::Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
