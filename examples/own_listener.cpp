// A listener of one's own: slaves come over whatever carries bytes both ways. Here they are threads of this program,
// each joined to the master by a pipe in memory.
#include "temporary_directory.hpp"

#include <remsh/master.hpp>
#include <remsh/slave.hpp>
#include <remsh/transport/memory.hpp>

#include <iostream>
#include <list>
#include <string>
#include <thread>
#include <utility>

/// What a listener must do: get a connection, wrap it as a Transport, hand it on. Everything else (handshake,
/// registration, the slave class, setup(), the collection) is the same for all.
class ThreadListener final : public remsh::SlaveListener {
 public:
  using remsh::SlaveListener::SlaveListener;
  ~ThreadListener() override {
    shut_down();  // while our own members are there
  }

  void start() override {}  // there is no port to open
  void stop() override {}

  std::shared_ptr<remsh::Slave> start_slave(const std::string& basedir, const std::string& name) {
    auto [ours, theirs] = remsh::memory_pair();
    auto& slave = slaves_.emplace_back(remsh::SlaveOptions{.name = name, .basedir = basedir});
    slave.thread = std::jthread([&slave, end = std::move(theirs)]() mutable { slave.server.serve(std::move(end)); });
    return handle_new_connection(std::move(ours));
  }

 private:
  struct ThreadSlave {
    explicit ThreadSlave(remsh::SlaveOptions options) : server(std::move(options)) {}
    remsh::SlaveServer server;
    std::jthread thread;
  };
  std::list<ThreadSlave> slaves_;
};

int main() try {
  const TemporaryDirectory directory;
  remsh::SlaveCollection slaves;
  ThreadListener listener({.slave_collection = slaves});
  for (const std::string name : {"ash", "birch"}) listener.start_slave(directory / name, name);

  for (const auto& slave : slaves.get_all_slaves()) {
    slave->send(remsh::Source::bytes("of " + slave->name()), "note");
    std::cout << slave->name() << " over " << slave->info().address << ": " << slave->execute({"ls"}).out;
  }
  return slaves.size() == 2 ? 0 : 1;
} catch (const remsh::Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
