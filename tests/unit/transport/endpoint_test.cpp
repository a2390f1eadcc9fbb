// Tests of addresses, of listening and accepting.
#include "transport/endpoint.hpp"
#include "support/temp_dir.hpp"
#include "transport/acceptor.hpp"
#include "transport/connect.hpp"
#include "unit/transport/addresses.hpp"
#include "unit/transport/recorder.hpp"
#include "unit/transport/transports.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace remsh;
using remsh::test::loopback;
using remsh::test::settle;
using remsh::test::TempDir;
using remsh::test::unix_at;

namespace {

void check_parsed(const std::string& text, const Address& address, const std::string& shown) {
  CAPTURE(text);
  const auto parsed = parse_address(text);
  REQUIRE(parsed.ok());
  CHECK(*parsed == address);
  CHECK(to_string(*parsed) == shown);
  CHECK(*parse_address(shown) == address);
}

void check_refused(const std::string& text, const std::string& why) {
  CAPTURE(text);
  const auto parsed = parse_address(text);
  REQUIRE_FALSE(parsed.ok());
  CHECK(parsed.failure().code == Errc::invalid_argument);
  CAPTURE(parsed.failure().message);
  CHECK(parsed.failure().message.find(why) != std::string::npos);
}

bool is_closed_by_exec(int fd) { return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0; }

bool is_blocking(int fd) { return (::fcntl(fd, F_GETFL) & O_NONBLOCK) == 0; }

/// Waits until a connection is there to be accepted.
Accepted accept_when_there(const UniqueFd& listening) {
  pollfd polled{listening.get(), POLLIN, 0};
  REQUIRE(::poll(&polled, 1, 60000) == 1);
  return accept_one(listening.get());
}

}  // namespace

TEST_CASE("addresses are taken in all their forms") {
  check_parsed("localhost:80", {Address::Kind::tcp, "localhost", 80, {}}, "localhost:80");
  check_parsed("tcp:10.0.0.1:65535", {Address::Kind::tcp, "10.0.0.1", 65535, {}}, "10.0.0.1:65535");
  check_parsed("[::1]:9876", {Address::Kind::tcp, "::1", 9876, {}}, "[::1]:9876");
  check_parsed("tcp:[fe80::1%eth0]:1", {Address::Kind::tcp, "fe80::1%eth0", 1, {}}, "[fe80::1%eth0]:1");
  check_parsed("unix:/run/a:b.sock", unix_at("/run/a:b.sock"), "unix:/run/a:b.sock");
  check_parsed("tls:farm.example:9876", {Address::Kind::tls, "farm.example", 9876, {}}, "tls:farm.example:9876");
  check_parsed("tls:[::1]:9876", {Address::Kind::tls, "::1", 9876, {}}, "tls:[::1]:9876");
  check_parsed("unix:relative", unix_at("relative"), "unix:relative");
}

TEST_CASE("a host with the name of a prefix can be written and read again") {
  check_parsed("tcp:tcp:80", {Address::Kind::tcp, "tcp", 80, {}}, "tcp:tcp:80");
  check_parsed("tcp:Tcp:80", {Address::Kind::tcp, "Tcp", 80, {}}, "tcp:Tcp:80");
  check_parsed("tcp:tls:80", {Address::Kind::tcp, "tls", 80, {}}, "tcp:tls:80");
  check_parsed("tls:tls:80", {Address::Kind::tls, "tls", 80, {}}, "tls:tls:80");
  check_parsed("[unix]:80", {Address::Kind::tcp, "unix", 80, {}}, "tcp:unix:80");
}

TEST_CASE("the port of an address to listen on may be left to the system") {
  const auto parsed = parse_address("tcp:[::1]:0", AddressUse::listen);
  REQUIRE(parsed.ok());
  CHECK(*parsed == Address{Address::Kind::tcp, "::1", 0, {}});
  CHECK(parse_address("tls:0.0.0.0:0", AddressUse::listen).ok());
  CHECK_FALSE(parse_address("tcp:[::1]:0").ok());
  CHECK_FALSE(parse_address("tcp:[::1]:65536", AddressUse::listen).ok());
}

TEST_CASE("an address that is wrong is refused with the place that is") {
  check_refused("", "is empty");
  check_refused("localhost", "has no port");
  check_refused("tcp:localhost", "has no port");
  check_refused("tls:localhost", "has no port");
  check_refused("ssl:localhost:80", "begins with 'ssl:'");
  check_refused("tls:tls:localhost:80", "more than one colon");
  check_refused(":80", "has no host");
  check_refused("[]:80", "has no host");
  check_refused("[::1]", "no port behind the ']'");
  check_refused("[::1:80", "'[' without a ']'");
  check_refused("::1:80", "more than one colon");
  check_refused("[[::1]:80", "bracket in its host");
  check_refused("a]:80", "bracket in its host");
  for (const char* port : {"", "0", "65536", "-1", "+1", "80 ", "http", "99999999999"}) {
    check_refused(std::string("host:") + port, std::string("the port '") + port + "'");
  }
  check_refused(std::string("ho\0st:80", 8), "zero byte");
  check_refused("unix:", "no path");
  check_refused(std::string("unix:a\0b", 8), "zero byte");
  check_refused("unix:" + std::string(108, 'x'), "108 bytes");
  check_refused("bad\nhost", "bad\\x0Ahost");
}

TEST_CASE("a TCP connection is made, and each side says who the other is") {
  const UniqueFd listening = std::move(listen_tcp("127.0.0.1", 0, 8)).value();
  CHECK_FALSE(is_blocking(listening.get()));
  CHECK(is_closed_by_exec(listening.get()));
  CHECK(accept_one(listening.get()).error == EAGAIN);
  const UniqueFd caller = std::move(connect_to(loopback(listening), 60s)).value();
  const Accepted accepted = accept_when_there(listening);
  REQUIRE(accepted.socket);
  for (const int fd : {caller.get(), accepted.socket.get()}) {
    CHECK(is_blocking(fd));
    CHECK(is_closed_by_exec(fd));
  }
  CHECK(describe_peer(caller.get()) == "tcp 127.0.0.1:" + std::to_string(local_port(listening.get())));
  CHECK(describe_peer(accepted.socket.get()) == "tcp 127.0.0.1:" + std::to_string(local_port(caller.get())));
  CHECK(describe_peer(listening.get()) == "unknown");
  set_tcp_options(caller.get(), {.user_timeout = 5s});
  int keepalive = 0;
  socklen_t size = sizeof keepalive;
  REQUIRE(::getsockopt(caller.get(), SOL_SOCKET, SO_KEEPALIVE, &keepalive, &size) == 0);
  CHECK(keepalive != 0);
}

TEST_CASE("a port that is taken is in use") {
  const UniqueFd listening = std::move(listen_tcp("127.0.0.1", 0, 8)).value();
  const auto second = listen_tcp("127.0.0.1", local_port(listening.get()), 8);
  REQUIRE_FALSE(second.ok());
  CHECK(second.failure().code == Errc::in_use);
  CHECK(second.failure().os == EADDRINUSE);
}

TEST_CASE("a unix socket is for our own user, who is told") {
  const TempDir dir;
  const std::string path = dir / "s";
  const UnixListening listening = std::move(listen_unix(path, 8)).value();
  struct stat what {};
  REQUIRE(::lstat(path.c_str(), &what) == 0);
  CHECK((what.st_mode & 0777) == 0600);
  CHECK(is_closed_by_exec(listening.socket.get()));
  const UniqueFd caller = std::move(connect_to(unix_at(path), 60s)).value();
  const Accepted accepted = accept_when_there(listening.socket);
  REQUIRE(accepted.socket);
  CHECK(is_blocking(caller.get()));
  CHECK(is_closed_by_exec(caller.get()));
  CHECK(is_closed_by_exec(accepted.socket.get()));
  CHECK(peer_of_unix(accepted.socket.get())->user == ::geteuid());
  CHECK(peer_of_unix(accepted.socket.get())->group == ::getegid());
  CHECK(describe_peer(accepted.socket.get()) == "unix pid " + std::to_string(::getpid()));
  CHECK_FALSE(peer_of_unix(std::move(listen_tcp("127.0.0.1", 0, 1)).value().get()).ok());
}

TEST_CASE("a stale unix socket is replaced, and nothing else is left behind") {
  const TempDir dir;
  const std::string path = dir / "s";
  const SocketFile stale = std::move(listen_unix(path, 8)).value().file;  // closed at once, its file stays
  const auto again = listen_unix(path, 8);
  REQUIRE(again.ok());
  CHECK(connect_to(unix_at(path), 60s).ok());
  remove_socket_file(stale);  // not that one any more
  CHECK(connect_to(unix_at(path), 60s).ok());
  remove_socket_file(again->file);
  CHECK(::rmdir(dir.path().c_str()) == 0);  // empty
}

TEST_CASE("a unix socket that is in use stays") {
  const TempDir dir;
  const UnixListening first = std::move(listen_unix(dir / "s", 8)).value();
  const auto second = listen_unix(dir / "s", 8);
  REQUIRE_FALSE(second.ok());
  CHECK(second.failure().code == Errc::in_use);
  CHECK(connect_to(unix_at(dir / "s"), 60s).ok());
}

TEST_CASE("what is not a socket is never replaced by one") {
  const TempDir dir;
  dir.write("file", "precious");
  const auto result = listen_unix(dir / "file", 8);
  REQUIRE_FALSE(result.ok());
  CHECK(result.failure().code == Errc::in_use);
  CHECK(dir.read("file") == "precious");
  CHECK_FALSE(listen_unix(dir / "missing/s", 8).ok());
  CHECK_FALSE(listen_unix(dir / std::string(200, 'x'), 8).ok());
}

TEST_CASE("of many who replace a stale unix socket at once, one listens and nobody else believes to") {
  const TempDir dir;
  const std::string path = dir / "s";
  for (int round = 0; round < 50; ++round) {
    static_cast<void>(listen_unix(path, 8));  // stale from here on
    std::vector<std::future<Result<UnixListening>>> tries;
    for (int i = 0; i < 4; ++i) {
      tries.push_back(std::async(std::launch::async, [&] { return listen_unix(path, 8); }));
    }
    std::vector<UnixListening> listening;
    for (auto& attempt : tries) {
      auto result = attempt.get();
      if (result) listening.push_back(std::move(*result));
    }
    REQUIRE(listening.size() == 1);
    struct stat found {};
    REQUIRE(::lstat(path.c_str(), &found) == 0);
    CHECK(found.st_ino == listening[0].file.inode);
  }
}

TEST_CASE("an acceptor hands on every connection, on the loop thread") {
  const auto loop = Loop::start();
  UniqueFd listening = std::move(listen_tcp("127.0.0.1", 0, 128)).value();
  const Address address = loopback(listening);
  std::atomic<int> count{0};
  std::promise<void> all;
  Acceptor acceptor(
      *loop, std::move(listening),
      [&](UniqueFd socket) {
        CHECK(socket);
        CHECK(loop->is_this_thread());
        if (++count == 50) all.set_value();
      },
      [](int error) { FAIL_CHECK("failed: " << error); });
  std::vector<UniqueFd> callers;
  for (int i = 0; i < 50; ++i) callers.push_back(std::move(connect_to(address, 60s)).value());
  all.get_future().get();
  acceptor.stop();
  CHECK_FALSE(connect_to(address, 60s).ok());
  acceptor.stop();
}

TEST_CASE("an acceptor can be stopped inside its own callback") {
  const auto loop = Loop::start();
  UniqueFd listening = std::move(listen_tcp("127.0.0.1", 0, 128)).value();
  const Address address = loopback(listening);
  std::promise<void> stopped;
  std::optional<Acceptor> acceptor;
  acceptor.emplace(
      *loop, std::move(listening),
      [&](UniqueFd) {
        acceptor->stop();
        stopped.set_value();
      },
      nullptr);
  const UniqueFd caller = std::move(connect_to(address, 60s)).value();
  stopped.get_future().get();
  settle(*loop);
}

TEST_CASE("stopping an acceptor waits for its callback") {
  const auto loop = Loop::start();
  UniqueFd listening = std::move(listen_tcp("127.0.0.1", 0, 128)).value();
  const Address address = loopback(listening);
  std::promise<void> inside;
  std::promise<void> go_on;
  std::atomic<bool> over{false};
  Acceptor acceptor(
      *loop, std::move(listening),
      [&](UniqueFd) {
        inside.set_value();
        go_on.get_future().wait();
        over = true;
      },
      nullptr);
  const UniqueFd caller = std::move(connect_to(address, 60s)).value();
  inside.get_future().get();
  const auto helper = std::async(std::launch::async, [&] { go_on.set_value(); });
  acceptor.stop();
  CHECK(over);
}

TEST_CASE("without descriptors left an acceptor closes what comes, says so once, and goes on when there are some") {
  const auto loop = Loop::start();
  UniqueFd listening = std::move(listen_tcp("127.0.0.1", 0, 128)).value();
  const Address address = loopback(listening);
  std::mutex mutex;
  std::vector<int> failures;
  std::promise<void> accepted;
  std::promise<void> failed;
  Acceptor acceptor(
      *loop, std::move(listening), [&](UniqueFd) { accepted.set_value(); },
      [&](int error) {
        const std::lock_guard lock(mutex);
        failures.push_back(error);
        failed.set_value();
      });
  std::vector<UniqueFd> callers;
  for (int i = 0; i < 2; ++i) {
    callers.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(callers.back());
  }
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const UniqueFd lowest_free(::fcntl(callers[0].get(), F_DUPFD_CLOEXEC, 0));
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(lowest_free.get()) + 1;  // every number below it is taken
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  sockaddr_in there{};
  there.sin_family = AF_INET;
  there.sin_port = htons(address.port);
  there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto call = [&](const UniqueFd& socket) {
    return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&there), sizeof there);
  };
  CHECK(call(callers[0]) == 0);
  failed.get_future().get();
  char byte = 0;
  CHECK(::recv(callers[0].get(), &byte, 1, 0) <= 0);  // closed by the acceptor
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(call(callers[1]) == 0);
  accepted.get_future().get();
  const std::lock_guard lock(mutex);
  CHECK(failures == std::vector<int>{EMFILE});
}
