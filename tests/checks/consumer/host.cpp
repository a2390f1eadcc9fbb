// A host program as its author would begin it: a listener on loopback, and nobody calls in.
#include <remsh/master.hpp>

#include <chrono>
#include <iostream>

// In other_unit.cpp.
bool own_asio_works();
bool own_fmt_works();

int main() {
  using namespace std::chrono_literals;
  try {
    remsh::SlaveCollection slaves;
    remsh::TcpSlaveListener listener({.slave_collection = slaves, .keyless = true});
    listener.start();
    std::cout << "remsh " << remsh::version << " listens on " << listener.address() << '\n';
    const bool open = listener.port() != 0;
    const bool any = slaves.get_slave(remsh::no_wait) != nullptr || slaves.get_slave(1ms) != nullptr;
    listener.stop();
    return open && !any && own_asio_works() && own_fmt_works() ? 0 : 1;
  } catch (const remsh::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
