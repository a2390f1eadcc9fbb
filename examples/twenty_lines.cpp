#include <iostream>
#include <remsh/master.hpp>

int main() try {
  remsh::SlaveCollection slaves;
  auto log = [](const remsh::LogRecord& record) { std::clog << "[" + record.peer + "] " + record.message + '\n'; };
  remsh::TcpSlaveListener listener({.slave_collection = slaves, .keys = remsh::KeyFile("slaves.keys"), .log = log});
  listener.start();
  std::cout << "now start a slave:  remsh-slave --key worker1.key --master " << listener.address() << std::endl;

  auto slave = slaves.get_slave(remsh::block, remsh::label("os", "debian"));
  slave->mkdir("project");
  auto print = [](remsh::BytesView bytes) { std::cout << bytes; };
  auto status = slave->execute({"sh", "-c", "echo hello from $(hostname) | tee out.txt"},
                               {.cwd = "project", .out = print, .timeout = std::chrono::minutes(10)});
  slave->fetch("project/out.txt", remsh::Sink::file("out.txt"), {.overwrite = true});
  return status.ok() ? 0 : 1;
} catch (const remsh::Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
