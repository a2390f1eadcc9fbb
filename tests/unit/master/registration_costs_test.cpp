// What the registration of a slave costs its master in system calls; and that the io thread alone lets it in.
#include "auth/derive.hpp"
#include "auth/slave_handshake.hpp"
#include "master/runtime.hpp"
#include "os/unique_fd.hpp"
#include "support/fake_clock.hpp"
#include "support/keys.hpp"
#include "support/peer_pair.hpp"
#include "support/skip.hpp"
#include "support/system_calls.hpp"

#include <remsh/auth/key_ring.hpp>
#include <remsh/base/secret.hpp>
#include <remsh/master/slave_collection.hpp>
#include <remsh/master/tcp_slave_listener.hpp>

#include <doctest/doctest.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#ifdef REMSH_CAN_COUNT

namespace registration_costs_test {

using namespace remsh;
using namespace remsh::test;
using SlaveAction = auth::SlaveHandshake::Step::Action;

// These depend on how many events come at once, and on other timers.
const auto depends_on_time = {SystemCall::epoll_wait, SystemCall::timerfd_settime};

/// Keeps a thread until it is let go.
class Held {
 public:
  /// The function that waits.
  void operator()() {
    std::unique_lock lock(mutex_);
    is_here_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return is_let_go_; });
  }
  void wait_until_here() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_here_; });
  }
  void let_go() {
    const std::lock_guard lock(mutex_);
    is_let_go_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_here_ = false;
  bool is_let_go_ = false;
};

/// Lets it go at the end of a block.
class LetsGo {
 public:
  explicit LetsGo(Held& held) : held_(held) {}
  LetsGo(const LetsGo&) = delete;
  LetsGo& operator=(const LetsGo&) = delete;
  ~LetsGo() { held_.let_go(); }

 private:
  Held& held_;
};

/// A slave with a key, on a bare socket, which first says hello and then does the rest.
class PlainSlave {
 public:
  PlainSlave(std::uint16_t port, const std::string& name, const Secret& key)
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), handshake_(options(name, key)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    send(handshake_.start());
  }

  /// Whether it is let in.
  bool register_here() {
    for (;;) {
      std::array<char, 4096> buffer{};
      const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
      if (got <= 0) return false;
      auto step = handshake_.feed(BytesView(buffer.data(), static_cast<std::size_t>(got)));
      if (step.action == SlaveAction::send) send(step.bytes);
      if (step.action != SlaveAction::send && step.action != SlaveAction::read) {
        return step.action == SlaveAction::open;
      }
    }
  }

 private:
  static auth::SlaveHandshake::Options options(const std::string& name, const Secret& key) {
    auth::SlaveHandshake::Options options;
    options.registration.name = name;
    options.nonce = Bytes(auth::nonce_size, 'n');
    options.key = key;
    return options;
  }
  void send(const Bytes& bytes) {
    REQUIRE(::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  }

  UniqueFd socket_;
  auth::SlaveHandshake handshake_;
};

/// A master with the keys of the slaves "w0", "w1", ..., whose clock stands still.
struct CountedMaster {
  static constexpr std::size_t most = 100;

  CountedMaster() {
    for (std::size_t i = 0; i < most; ++i) {
      keys.push_back(ring.register_slave(name_of(i), key_of_slave(i)));
    }
    listener = std::make_unique<TcpSlaveListener>(
        TcpListenerOptions{.slave_collection = slaves, .address = "tcp:127.0.0.1:0", .keys = ring, .runtime = runtime});
    listener->start();
  }

  static std::string name_of(std::size_t number) { return "w" + std::to_string(number); }
  static Secret key_of_slave(std::size_t number) { return key_of(static_cast<char>(number + 1)); }

  /// Lets the next slave in. Its first bytes are there when the master accepts the connection.
  void let_one_in() {
    Held io;
    runtime->loop()->post([&io] { io(); });
    io.wait_until_here();
    const std::string name = name_of(registered.size());
    std::unique_ptr<PlainSlave> slave;
    {
      const LetsGo then(io);
      slave = std::make_unique<PlainSlave>(listener->port(), name, key_of_slave(registered.size()));
    }
    REQUIRE(slave->register_here());
    registered.push_back(std::move(slave));
    static_cast<void>(of_io());  // it has let the slave in when it does the next thing
    REQUIRE(slaves.get_slave(no_wait, [&name](const Slave& candidate) { return candidate.name() == name; }));
  }

  /// What the io thread has done so far, when it has done all that was to be done.
  SystemCalls of_io() {
    SystemCalls result;
    Held io;
    runtime->loop()->post([&] {
      result = system_calls_of_this_thread();
      io.let_go();
      io();
    });
    io.wait_until_here();
    return result;
  }

  FakeClock clock;
  KeyRing ring;
  std::vector<KeyRegistration> keys;
  std::shared_ptr<Runtime> runtime = std::make_shared<Runtime>(clock);
  SlaveCollection slaves;
  std::unique_ptr<TcpSlaveListener> listener;
  std::vector<std::unique_ptr<PlainSlave>> registered;
};

TEST_CASE("a registration with a key costs the io thread few system calls, and no other thread any") {
  CountedMaster master;
  for (int i = 0; i < 3; ++i) master.let_one_in();
  // Of the changes of watches, one arms the acceptor, two the admission, and one the slave; two are Asio's, which waits
  // for the next event of the watches.
  const std::string wanted = "accept4 2, epoll_ctl 6, fcntl 1, getpeername 1, recv 2, sendmsg 2, setsockopt 3";
  std::string of_io;
  std::string of_others;
  CHECK(succeeds_once([&] {
    if (master.registered.size() == CountedMaster::most) return false;
    const SystemCalls io_before = master.of_io();
    const SystemCalls before = system_calls_of_other_threads();
    master.let_one_in();
    const SystemCalls io = master.of_io() - io_before;
    of_others = (system_calls_of_other_threads() - before - io).without(depends_on_time).text();
    of_io = io.without(depends_on_time).text();
    return of_io == wanted && of_others.empty();
  }));
  CHECK(of_io == wanted);
  CHECK(of_others == "");
}

TEST_CASE("no service thread is needed to let a slave in that has a key, and whose master has no slave class") {
  Held only;
  CountedMaster master;
  const LetsGo then(only);
  ServiceThreads& threads = master.runtime->admission_threads();
  REQUIRE(threads.size() == 1);  // if it is held, any function for these threads has another one started at once
  threads.post([&only] { only(); });
  only.wait_until_here();
  for (int i = 0; i < 10; ++i) master.let_one_in();
  CHECK(threads.size() == 1);
}

}  // namespace registration_costs_test

#else
TEST_CASE("what a registration costs") {
  remsh::test::skip("system calls cannot be counted here: a sanitizer replaces the same functions");
}
#endif
