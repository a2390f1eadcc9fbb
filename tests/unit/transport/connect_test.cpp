// Tests of connecting: which address wins, and when it is given up.
#include "transport/connect.hpp"
#include "support/has.hpp"
#include "support/skip.hpp"
#include "support/temp_dir.hpp"
#include "transport/address.hpp"
#include "transport/endpoint.hpp"
#include "unit/transport/addresses.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace remsh;
using remsh::test::farm_address;
using remsh::test::has;
using remsh::test::loopback;
using remsh::test::TempDir;
using remsh::test::unix_at;

namespace {

/// A port that nobody listens to, and that nobody else is given while the socket lives.
struct ClosedPort {
  UniqueFd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  Address address;
  ClosedPort() {
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&here), sizeof here) == 0);
    address = loopback(socket);
  }
};

/// An address of the loopback that drops what comes, as a host that is switched off does: its queue is full.
class BlackHole {
 public:
  BlackHole() : listening_(std::move(listen_tcp("127.0.0.1", 0, 0)).value()) {
    for (int i = 0; i < 4; ++i) {
      waiting_.push_back(new_socket(AF_INET));
      const SocketAddress there = address();
      static_cast<void>(::connect(waiting_.back().get(), there.get(), there.size));
    }
  }
  [[nodiscard]] SocketAddress address() const { return std::move(look_up(loopback(listening_), 60s, {})).value()[0]; }

 private:
  UniqueFd listening_;
  std::vector<UniqueFd> waiting_;
};

SocketAddress address_of(const Address& address) { return std::move(look_up(address, 60s, {})).value()[0]; }

/// A host that has these addresses.
LookUp host_with(AddressList addresses) {
  return [addresses = std::move(addresses)](const Address&) -> Result<AddressList> { return addresses; };
}

}  // namespace

TEST_CASE("nobody speaks in the clear to an address of TLS") {
  const auto connected = connect_to({Address::Kind::tls, "127.0.0.1", 1, {}}, 60s);
  REQUIRE_FALSE(connected.ok());
  CHECK(connected.failure().code == Errc::invalid_argument);
}

TEST_CASE("a host name is looked up") {
  addrinfo* found = nullptr;
  if (::getaddrinfo("localhost", nullptr, nullptr, &found) != 0) {
    return test::skip("this system has no address of localhost");
  }
  ::freeaddrinfo(found);
  const UniqueFd listening = std::move(listen_tcp("127.0.0.1", 0, 8)).value();
  Address address = loopback(listening);
  address.host = "localhost";  // may be ::1 first, where nobody listens
  CHECK(connect_to(address, 60s).ok());
}

TEST_CASE("what refuses a connection is named") {
  const ClosedPort closed;
  const auto tcp = connect_to(closed.address, 60s);
  REQUIRE_FALSE(tcp.ok());
  CHECK(tcp.failure().os == ECONNREFUSED);
  CHECK(tcp.failure().message.find(to_string(closed.address)) != std::string::npos);
  const TempDir dir;
  const auto unix_result = connect_to(unix_at(dir / "missing"), 60s);
  REQUIRE_FALSE(unix_result.ok());
  CHECK(unix_result.failure().os == ENOENT);
}

TEST_CASE("who waits to be connected gives up at the deadline, or when stopped") {
  const TempDir dir;
  const UnixListening listening = std::move(listen_unix(dir / "full", 0)).value();
  std::vector<UniqueFd> waiting;  // until no more fit
  for (;;) {
    auto socket = connect_to(unix_at(dir / "full"), no_wait);
    if (!socket) {
      CHECK(socket.failure().code == Errc::timeout);
      break;
    }
    waiting.push_back(std::move(*socket));
  }
  std::stop_source stop;
  std::promise<void> begun;
  auto blocked = std::async(std::launch::async, [&] {
    begun.set_value();
    return connect_to(unix_at(dir / "full"), Deadline(), stop.get_token());
  });
  begun.get_future().get();
  stop.request_stop();
  const auto stopped = blocked.get();
  REQUIRE_FALSE(stopped.ok());
  CHECK(stopped.failure().code == Errc::cancelled);
  auto patient = std::async(std::launch::async, [&] { return connect_to(unix_at(dir / "full"), 60s); });
  while (accept_one(listening.socket.get()).error == 0) {
  }
  CHECK(patient.get().ok());
}

TEST_CASE("a name whose first address is dead is reached by the next one") {
  const BlackHole dead;
  const UniqueFd listening = std::move(listen_tcp("127.0.0.1", 0, 8)).value();
  const auto connected =
      connect_to(farm_address, 60s, {}, host_with({dead.address(), dead.address(), address_of(loopback(listening))}));
  REQUIRE(connected.ok());
  CHECK(describe_peer(connected->get()) == "tcp 127.0.0.1:" + std::to_string(local_port(listening.get())));
  CHECK((::fcntl(connected->get(), F_GETFL) & O_NONBLOCK) == 0);
}

TEST_CASE("an address that refuses makes room for the next one") {
  const ClosedPort closed;
  const UniqueFd listening = std::move(listen_tcp("127.0.0.1", 0, 8)).value();
  CHECK(
      connect_to(farm_address, 60s, {}, host_with({address_of(closed.address), address_of(loopback(listening))})).ok());
}

TEST_CASE("if no address can be had each is named with its cause, and one cause is told once") {
  const ClosedPort closed;
  const ClosedPort other;
  const auto refused =
      connect_to(farm_address, 60s, {}, host_with({address_of(closed.address), address_of(other.address)}));
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.failure().message == "farm.example:9876: Connection refused");
  CHECK(refused.failure().os == ECONNREFUSED);
  const BlackHole dead;
  Failure late;
  for (const auto patience : {20ms, 1000ms, 10000ms}) {  // both must be tried in time
    late = connect_to(farm_address, patience, {}, host_with({address_of(closed.address), dead.address()})).failure();
    CHECK(late.code == Errc::timeout);
    if (has(late.message, ": Connection refused")) break;
  }
  CHECK(has(late.message, "farm.example:9876: no connection in time ("));
  CHECK(has(late.message, to_string(closed.address) + ": Connection refused, "));
  CHECK(has(late.message, to_string(dead.address()) + ": no answer"));
  CHECK_FALSE(connect_to(farm_address, 60s, {}, host_with({})).ok());
}

TEST_CASE("a stop ends the attempts at addresses that do not answer") {
  const BlackHole dead;
  std::stop_source stop;
  auto blocked = std::async(std::launch::async, [&] {
    return connect_to(farm_address, Deadline(), stop.get_token(), host_with({dead.address()}));
  });
  stop.request_stop();
  CHECK(blocked.get().failure().code == Errc::cancelled);
}
