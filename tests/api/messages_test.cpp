// Listener, Client and MessageConnection: between two ends in C++. Against Python: messages_python_test.cpp.
#include "support/ample.hpp"
#include "support/has.hpp"
#include "support/log.hpp"
#include "support/many_bytes.hpp"
#include "support/mode_of.hpp"
#include "support/skip.hpp"
#include "support/slaves.hpp"
#include "support/temp_dir.hpp"

#include <doctest/doctest.h>
#include <remsh/messages.hpp>
#include <remsh/transport/memory.hpp>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <future>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace remsh::test {

namespace {

const AuthKey& good_key() {
  static const AuthKey key = random_authkey();
  return key;
}

/// Addresses of every kind; the unix socket is in the directory.
std::vector<std::string> every_kind(const TempDir& dir) {
  std::vector<std::string> kinds{"127.0.0.1:0", "localhost:0", "tls:127.0.0.1:0", dir / "socket", ""};
#if defined(__linux__)
  kinds.push_back("@remsh-test-" + std::to_string(::getpid()));
#endif
  if (const int six = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0); six >= 0) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_addr = in6addr_loopback;
    if (::bind(six, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) kinds.push_back("[::1]:0");
    ::close(six);
  }
  return kinds;
}

/// Two ends of a connection, over a listener.
struct Ends {
  explicit Ends(const std::string& address = "", bool has_key = true)
      : listener(address, {.authkey = has_key ? std::optional(good_key()) : std::nullopt, .handshake_timeout = ample}),
        client(listener.address(), {.authkey = has_key ? std::optional(good_key()) : std::nullopt, .deadline = ample}),
        server(listener.accept({.deadline = ample})) {}

  Listener listener;
  Client client;
  MessageConnection server;
};

std::size_t count_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

/// The descriptor of the socket of this process that listens at this port.
int listening_at(std::uint16_t port) {
  for (int fd = 3; fd < 4096; ++fd) {
    sockaddr_in here{};
    socklen_t size = sizeof here;
    int listens = 0;
    socklen_t flag_size = sizeof listens;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&here), &size) == 0 && here.sin_family == AF_INET &&
        ntohs(here.sin_port) == port && ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &flag_size) == 0 &&
        listens != 0) {
      return fd;
    }
  }
  return -1;
}

/// Connects to a unix socket as another user, in a child, and reads: returns 0 if a byte came, 1 at the end of the
/// stream, or 100 plus the error of connect().
int connect_as(uid_t user, gid_t group, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  const bool is_abstract = path[0] == '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (is_abstract ? 0 : 1));
  const pid_t child = ::fork();
  if (child == 0) {  // only system calls: this process has other threads
    if (::syscall(SYS_setgroups, 0, nullptr) != 0 || ::syscall(SYS_setresgid, group, group, group) != 0 ||
        ::syscall(SYS_setresuid, user, user, user) != 0) {
      ::_exit(skipped);
    }
    const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
    if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), size) != 0) ::_exit(100 + errno);
    char byte = 0;
    ::_exit(::read(socket, &byte, 1) == 1 ? 0 : 1);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("messages go both ways over every kind of address") {
  const TempDir dir;
  for (const std::string& address : every_kind(dir)) {
    CAPTURE(address);
    Ends ends(address);
    CHECK_FALSE(has(ends.listener.address(), ":0"));
    ends.client.send_bytes("hello");
    CHECK(ends.server.recv_bytes({.deadline = ample}) == "hello");
    ends.server.send_bytes("");
    CHECK(ends.client.recv_bytes({.deadline = ample}).empty());
    const Value value = Value::list({2.25, Value(), Value::text("junk")});
    ends.client.send(value);
    CHECK(ends.server.recv({.deadline = ample}) == value);

    const Bytes large = many_bytes(3'000'000);
    std::jthread sender([&] { ends.client.send_bytes(large); });
    CHECK(ends.server.recv_bytes({.deadline = ample}) == large);
  }
}

TEST_CASE("without a key nothing is proven") {
  const TempDir dir;
  for (const std::string& address : every_kind(dir)) {
    CAPTURE(address);
    if (has(address, "tls:")) continue;
    Ends ends(address, false);
    ends.server.send_bytes("first");
    CHECK(ends.client.recv_bytes({.deadline = ample}) == "first");
  }
}

TEST_CASE("without an address a listener has a unix socket that only this user can reach") {
  std::string address;
  {
    Listener listener;
    address = listener.address();
    CHECK(mode_of(address) == 0600);
    CHECK(mode_of(std::filesystem::path(address).parent_path()) == 0700);
    CHECK_NOTHROW(Client(address, {.deadline = ample}));
  }
  CHECK_FALSE(std::filesystem::exists(address));
  CHECK_FALSE(std::filesystem::exists(std::filesystem::path(address).parent_path()));
  const Listener inet({}, {.family = AddressFamily::inet});
  CHECK(inet.address().starts_with("127.0.0.1:"));
}

TEST_CASE("a listener listens from its construction on, and says what is wrong with an address") {
  const Listener listener("127.0.0.1:0", {.backlog = 77});
  const auto port = static_cast<std::uint16_t>(std::stoi(listener.address().substr(10)));
  const int socket = listening_at(port);
  REQUIRE(socket >= 0);
#if defined(__linux__)
  tcp_info info{};
  socklen_t size = sizeof info;
  REQUIRE(::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) == 0);
  CHECK(info.tcpi_sacked == 77);  // of a listening socket: its backlog
#endif
  const auto taken = thrown_by<Error>([&] { Listener other(listener.address()); });
  REQUIRE(taken);
  CHECK(taken->code() == Errc::in_use);
  CHECK(has(taken->what(), listener.address()));
  const std::vector<std::pair<std::string, std::string>> wrong{{R"(\\.\pipe\farm)", "is a named pipe of Windows"},
                                                               {"nonsense", "'nonsense'"},
                                                               {"127.0.0.1", "'127.0.0.1'"},
                                                               {"127.0.0.1:x", "'127.0.0.1:x'"},
                                                               {"/no/such/dir/socket", "/no/such/dir/socket"}};
  for (const auto& example : wrong) {
    const auto error = thrown_by<Error>([&] { Listener other(example.first); });
    REQUIRE(error);
    CHECK_MESSAGE(has(error->what(), example.second), std::string(error->what()));
    const auto of_client = thrown_by<Error>([&] { Client other(example.first); });
    REQUIRE(of_client);
    CHECK_MESSAGE(has(of_client->what(), example.second), std::string(of_client->what()));
  }
  CHECK_FALSE(std::filesystem::exists(R"(\\.\pipe\farm)"));
}

TEST_CASE("other users cannot connect, unless the mode lets them in") {
  if (::geteuid() != 0) return skip("only root can become other users");
  constexpr unsigned nobody = 65534;
  const TempDir dir;
  ::chmod((dir / "").c_str(), 0755);
  const auto outcome = [&](unsigned mode, gid_t group, bool is_abstract) {
    const std::string name = "remsh-mode-" + std::to_string(::getpid());
    Listener listener(is_abstract ? "@" + name : dir / "socket", {.mode = mode});
    std::stop_source stop;
    const std::jthread server([&] {
      try {
        auto connection = listener.accept({.stop = stop.get_token()});
        connection.send_bytes("welcome");
        static_cast<void>(connection.poll({}));
      } catch (const Error&) {  // nobody came
      }
    });
    const int result = connect_as(nobody, group, is_abstract ? '\0' + name : dir / "socket");
    stop.request_stop();
    return result;
  };
  const int denied = 100 + EACCES;
  CHECK(outcome(0600, 0, false) == denied);
  CHECK(outcome(0600, nobody, false) == denied);
  CHECK(outcome(0660, 0, false) == 0);
  CHECK(outcome(0660, nobody, false) == denied);
  CHECK(outcome(0666, nobody, false) == 0);
  const int closed = 1;
  CHECK(outcome(0600, 0, true) == closed);
  CHECK(outcome(0660, 0, true) == 0);
  CHECK(outcome(0660, nobody, true) == closed);
  CHECK(outcome(0666, nobody, true) == 0);
}

TEST_CASE("a wrong key is an AuthenticationError at both ends, and the next good client is accepted") {
  const TempDir dir;
  for (const std::string& address : every_kind(dir)) {
    CAPTURE(address);
    const Log log;
    Listener listener(address, {.authkey = good_key(), .handshake_timeout = ample, .log = log.hook()});
    const auto theirs = thrown_by<AuthenticationError>(
        [&] { Client client(listener.address(), {.authkey = random_authkey(), .deadline = ample}); });
    REQUIRE(theirs);
    CHECK(has(theirs->what(), listener.address()));
    const auto ours = thrown_by<AuthenticationError>([&] { listener.accept({.deadline = ample}); });
    REQUIRE(ours);
    CHECK(log.wait_for("not let in"));
    Client client(listener.address(), {.authkey = good_key(), .deadline = ample});
    CHECK_NOTHROW(listener.accept({.deadline = ample}));
  }
}

TEST_CASE("if one end has no key both learn it within the time limit") {
  Listener with_key("", {.authkey = good_key(), .handshake_timeout = 300ms});
  Client mute(with_key.address());
  CHECK_THROWS_AS(with_key.accept({.deadline = ample}), AuthenticationError);
  const auto demanded = thrown_by<ProtocolError>([&] { mute.recv({.deadline = ample}); });  // it takes it for a message
  REQUIRE(demanded);
  CHECK(has(demanded->what(), "give this side an `authkey`"));
  CHECK_THROWS_AS(mute.recv_bytes({.deadline = ample}), EndOfMessages);

  Listener patient("", {.authkey = good_key(), .handshake_timeout = ample});
  Client talks(patient.address());
  talks.send_bytes("hello");
  const auto refused = thrown_by<AuthenticationError>([&] { patient.accept({.deadline = ample}); });
  REQUIRE(refused);
  CHECK(has(refused->what(), "does the other side have an authkey?"));

  Listener without_key;
  const auto waits =
      thrown_by<Timeout>([&] { Client client(without_key.address(), {.authkey = good_key(), .deadline = 200ms}); });
  REQUIRE(waits);
  CHECK(has(waits->what(), "does the other side have an authkey?"));
  CHECK_THROWS_AS(without_key.accept({.deadline = ample}).recv_bytes({.deadline = ample}), EndOfMessages);
}

TEST_CASE("options that contradict each other are errors that name the option") {
  const auto why = [](const std::function<void()>& make) {
    const auto error = thrown_by<Error>(make);
    REQUIRE(error);
    CHECK(error->code() == Errc::invalid_argument);
    return std::string(error->what());
  };
  CHECK(has(why([] { Listener listener({}, {.authenticate = true}); }), "`authenticate` needs an `authkey`"));
  CHECK(has(why([] { Client client("127.0.0.1:1", {.authenticate = true}); }), "`authenticate` needs an `authkey`"));
  CHECK(has(why([] { Listener listener("tls:127.0.0.1:0"); }), "TLS needs an `authkey`"));
  CHECK(has(why([] { Listener listener("tls:127.0.0.1:0", {.authkey = AuthKey("short")}); }), "of 32 bytes"));
  CHECK(has(why([] { Client client("tls:127.0.0.1:1", {.authkey = AuthKey("short")}); }), "of 32 bytes"));
  CHECK(has(why([] { Listener listener("0.0.0.0:0", {.authkey = good_key(), .handshake_timeout = ample}); }),
            "say `insecure`"));
  CHECK(has(why([] { Listener listener({}, {.strangers = {.shared_addresses = {"x"}}}); }), "shared_addresses"));
  CHECK(has(why([] { Listener listener("127.0.0.1:0", {.mode = 0660}); }), "`mode` is for the file of a unix socket"));
  CHECK(has(why([] { Listener listener("/tmp/x", {.family = AddressFamily::inet}); }), "`family` says inet"));
  CHECK_NOTHROW(Listener("0.0.0.0:0", {.authkey = good_key(), .insecure = true}));
  CHECK_NOTHROW(Listener("tls:0.0.0.0:0", {.authkey = good_key()}));
}

TEST_CASE("a client that is silent delays no other one") {
  Listener listener("127.0.0.1:0", {.authkey = good_key(), .handshake_timeout = ample});
  std::vector<Client> silent;
  for (int i = 0; i < 20; ++i) silent.emplace_back(listener.address());
  const Client client(listener.address(), {.authkey = good_key(), .deadline = ample});
  CHECK_NOTHROW(listener.accept({.deadline = ample}));
}

TEST_CASE("of many silent clients the oldest one gives way to a newcomer") {
  const Log log;
  Listener listener("", {.authkey = good_key(), .handshake_timeout = ample, .max_handshakes = 4, .log = log.hook()});
  std::vector<Client> silent;
  for (int i = 0; i < 10; ++i) silent.emplace_back(listener.address());
  const Client client(listener.address(), {.authkey = good_key(), .deadline = ample});
  CHECK_NOTHROW(listener.accept({.deadline = ample}));
  CHECK(log.wait_for("gave way to a newer connection"));
}

TEST_CASE("close() wakes who accepts, and removes the socket; connections stay") {
  const TempDir dir;
  Ends ends(dir / "socket");
  CHECK(ends.listener.address() == dir / "socket");
  std::promise<void> begun;
  std::jthread closer([&] {
    begun.get_future().wait();
    ends.listener.close();
  });
  begun.set_value();
  CHECK_THROWS_AS(ends.listener.accept(), Cancelled);
  CHECK_THROWS_AS(ends.listener.accept(), Cancelled);
  CHECK_FALSE(std::filesystem::exists(dir / "socket"));
  ends.client.send_bytes("still here");
  CHECK(ends.server.recv_bytes({.deadline = ample}) == "still here");
  CHECK(ends.listener.address() == dir / "socket");
}

TEST_CASE("ten thousand listeners leave no descriptor behind") {
  { const Listener first; }
  const std::size_t before = count_descriptors();
  for (int i = 0; i < 10'000; ++i) Listener("@remsh-many-" + std::to_string(::getpid()));
  CHECK(count_descriptors() <= before);
  { const Listener last; }
}

TEST_CASE("the address of the last client") {
  Ends tcp("127.0.0.1:0");
  REQUIRE(tcp.listener.last_accepted());
  CHECK(tcp.listener.last_accepted()->starts_with("127.0.0.1:"));
  CHECK("tcp " + *tcp.listener.last_accepted() == tcp.server.description());
  Ends tls("tls:127.0.0.1:0");
  REQUIRE(tls.listener.last_accepted());
  CHECK("tls over tcp " + *tls.listener.last_accepted() == tls.server.description());
  const Ends unix_ends;
  CHECK_FALSE(unix_ends.listener.last_accepted());
}

TEST_CASE("deadlines and stop tokens end every wait, and no data is lost") {
  Ends ends("127.0.0.1:0");
  CHECK_THROWS_AS(ends.listener.accept({.deadline = 10ms}), Timeout);
  CHECK_THROWS_AS(ends.listener.accept({.deadline = no_wait}), Timeout);
  CHECK_FALSE(ends.listener.start_accept().wait_until(no_wait));
  CHECK_THROWS_AS(ends.client.recv_bytes({.deadline = 10ms}), Timeout);
  std::array<char, 1000> buffer{};
  CHECK_THROWS_AS(ends.client.recv_bytes_into(buffer, 0, {.deadline = 10ms}), Timeout);
  CHECK_FALSE(ends.client.poll());
  CHECK_FALSE(ends.client.poll({.deadline = 10ms}));
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  CHECK_THROWS_AS(ends.client.recv_bytes({.stop = stop.get_token()}), Cancelled);
  CHECK_THROWS_AS(ends.listener.accept({.stop = stop.get_token()}), Cancelled);
  CHECK_THROWS_AS(ends.client.poll({.stop = stop.get_token()}), Cancelled);
  ends.server.send_bytes("late");
  CHECK(ends.client.poll({.deadline = ample}));
  CHECK(ends.client.poll());
  CHECK(ends.client.recv_bytes({.deadline = no_wait}) == "late");

  // A part of a message that has come is kept.
  auto [ours, theirs] = pipe();
  const int raw = theirs.release();
  const char part[] = {0, 0, 0, 4, 'a', 'b'};
  REQUIRE(::write(raw, part, sizeof part) == sizeof part);
  CHECK_THROWS_AS(ours.recv_bytes_into(buffer, 0, {.deadline = 20ms}), Timeout);
  CHECK_FALSE(ours.poll());
  CHECK_THROWS_AS(ours.release(), Error);
  REQUIRE(::write(raw, "cd", 2) == 2);
  CHECK(ours.recv_bytes_into(buffer, 0, {.deadline = ample}) == 4);
  CHECK(std::string_view(buffer.data(), 4) == "abcd");
  ::close(raw);
}

TEST_CASE("a message that is not read in time closes the connection, as a part of it was sent") {
  Ends ends;
  const Bytes large(50'000'000, 'x');
  CHECK_THROWS_AS(ends.client.send_bytes(large, {.deadline = 50ms}), Timeout);
  CHECK_THROWS_AS(ends.client.send_bytes("more"), ConnectionLost);
  const auto cut = thrown_by<ConnectionLost>([&] { ends.server.recv_bytes({.deadline = ample}); });
  REQUIRE(cut);
  CHECK(cut->reason() == DisconnectReason::cut);
}

TEST_CASE("a buffer that is too short leaves the message in the error, and the connection usable") {
  Ends ends;
  std::array<char, 4> buffer{};
  for (const Bytes& message : {Bytes("hello"), many_bytes(100'000)}) {
    std::jthread sender([&] { ends.client.send_bytes(message); });
    const auto error = thrown_by<BufferTooShort>([&] { ends.server.recv_bytes_into(buffer, 0, {.deadline = ample}); });
    REQUIRE(error);
    CHECK(error->bytes() == message);
    CHECK(error->code() == Errc::too_large);
  }
  ends.client.send_bytes("next");
  CHECK(ends.server.recv_bytes_into(buffer, 0, {.deadline = ample}) == 4);
  CHECK(std::string_view(buffer.data(), 4) == "next");
  CHECK_THROWS_AS(ends.server.recv_bytes_into(buffer, 5), Error);
}

TEST_CASE("arrays are sent and received as bytes") {
  Ends ends;
  const std::array<std::int32_t, 2> sent{42, 1729};
  ends.client.send_bytes(std::as_bytes(std::span(sent)));
  std::array<std::int32_t, 5> received{};
  CHECK(ends.server.recv_bytes_into(std::as_writable_bytes(std::span(received)), 0, {.deadline = ample}) == 8);
  CHECK(received == std::array<std::int32_t, 5>{42, 1729, 0, 0, 0});
  ends.client.send_bytes(std::as_bytes(std::span(sent)));
  CHECK(ends.server.recv_bytes_into(std::as_writable_bytes(std::span(received)), 12, {.deadline = ample}) == 8);
  CHECK(received == std::array<std::int32_t, 5>{42, 1729, 0, 42, 1729});
}

TEST_CASE("a message over the limit is an error, and a negative size ends the connection") {
  const auto after = [](std::string_view bytes, std::uint64_t max) {
    auto ends = pipe();
    MessageConnection& ours = ends.first;
    const int raw = ends.second.release();
    REQUIRE(::write(raw, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    const auto error = thrown_by<Error>([&] { ours.recv_bytes({.max = max, .deadline = ample}); });
    REQUIRE(error);
    const auto again = thrown_by<Error>([&] { ours.recv_bytes({.deadline = ample}); });
    REQUIRE(again);
    CHECK(again->code() == error->code());
    if (error->code() == Errc::too_large) CHECK_NOTHROW(ours.send_bytes("still"));
    if (error->code() == Errc::protocol_error) CHECK_THROWS_AS(ours.send_bytes("no more"), ConnectionLost);
    ::close(raw);
    return error->code();
  };
  CHECK(after({"\0\0\0\5hello", 9}, 4) == Errc::too_large);
  CHECK(after({"\xc0\0\0\0", 4}, 4) == Errc::protocol_error);  // what 3 GiB would be in four bytes
  CHECK(after({"\xff\xff\xff\xff\0\0\0\0\xc0\0\0\0", 12}, std::uint64_t{1} << 30U) == Errc::too_large);
  CHECK(after({"\xff\xff\xff\xfe", 4}, 4) == Errc::protocol_error);
}

TEST_CASE("the end of a connection is the end of the messages, and only between two of them") {
  Ends ends("127.0.0.1:0");
  ends.client.send_bytes("last");
  ends.client.close();
  CHECK(ends.client.is_closed());
  CHECK(ends.server.recv_bytes({.deadline = ample}) == "last");
  CHECK_THROWS_AS(ends.server.recv_bytes({.deadline = ample}), EndOfMessages);
  CHECK_THROWS_AS(ends.server.recv_bytes({.deadline = ample}), EndOfMessages);
  CHECK(ends.server.poll());
  CHECK_THROWS_AS(ends.client.send_bytes("more"), ConnectionLost);

  Ends unread;
  unread.server.send_bytes("unread");
  REQUIRE(unread.client.poll({.deadline = ample}));
  unread.client.close();
  const auto closed = thrown_by<ConnectionLost>([&] { unread.client.recv_bytes(); });
  REQUIRE(closed);
  CHECK(closed->reason() == DisconnectReason::closed_here);

  for (const std::string_view part : {std::string_view("\0\0", 2), std::string_view("\0\0\0\5hell", 8)}) {
    auto pair = pipe();
    MessageConnection& ours = pair.first;
    const int raw = pair.second.release();
    REQUIRE(::write(raw, part.data(), part.size()) == static_cast<ssize_t>(part.size()));
    ::close(raw);
    const auto cut = thrown_by<ConnectionLost>([&] { ours.recv_bytes({.deadline = ample}); });
    REQUIRE(cut);
    CHECK(cut->reason() == DisconnectReason::cut);
  }
}

TEST_CASE("close() in another thread wakes who receives and who sends") {
  Ends ends;
  const Bytes large = many_bytes(10'000'000);  // more than the system takes
  std::jthread closer([&] {
    CHECK(ends.server.poll({.max = 1, .deadline = ample}));  // some of it has come
    ends.client.close();
  });
  const auto lost = thrown_by<ConnectionLost>([&] { ends.client.send_bytes(large, {.deadline = ample}); });
  REQUIRE(lost);
  CHECK(lost->reason() == DisconnectReason::closed_here);

  Ends receiving;
  std::jthread other_closer([&] { receiving.client.close(); });
  const auto closed = thrown_by<ConnectionLost>([&] { receiving.client.recv_bytes({.deadline = ample}); });
  REQUIRE(closed);
  CHECK(closed->reason() == DisconnectReason::closed_here);
}

TEST_CASE("the messages of several senders are whole, and those of each in order") {
  const TempDir dir;
  for (const std::string& address : every_kind(dir)) {
    CAPTURE(address);
    Ends ends(address);
    constexpr int senders = 4;
    constexpr int each = 50;
    std::vector<std::jthread> threads;
    for (int sender = 0; sender < senders; ++sender) {
      threads.emplace_back([&, sender] {
        for (int i = 0; i < each; ++i) {
          ends.client.send_bytes(Bytes(static_cast<std::size_t>(i * 997 + 2), static_cast<char>('a' + sender)));
        }
      });
    }
    std::array<int, senders> next{};
    for (int i = 0; i < senders * each; ++i) {
      const Bytes message = ends.server.recv_bytes({.deadline = ample});
      REQUIRE(message.size() >= 2);
      int& expected = next.at(static_cast<std::size_t>(message[0] - 'a'));
      CHECK(message == Bytes(static_cast<std::size_t>(expected * 997 + 2), message[0]));
      ++expected;
    }
  }
}

TEST_CASE("a connection that a send has found to be broken does not look closed") {
  Ends ends("127.0.0.1:0");
  ends.client.send_bytes("not read");
  REQUIRE(ends.server.poll({.deadline = ample}));
  ends.client.send_bytes("nor this");
  { const MessageConnection ended = std::move(ends.server); }  // with bytes that were not read: TCP resets it
  const auto lost = thrown_by<ConnectionLost>([&] {
    for (;;) ends.client.send_bytes("more");
  });
  REQUIRE(lost);
  CHECK_FALSE(thrown_by<EndOfMessages>([&] {
    CHECK_THROWS_AS(ends.client.recv_bytes({.deadline = ample}), ConnectionLost);
    try {
      ends.client.recv_bytes({.deadline = ample});
    } catch (const EndOfMessages&) {
      throw;
    } catch (const ConnectionLost&) {
      return;
    }
  }));
}

TEST_CASE("a started send begins at once, and what follows comes behind it") {
  Ends ends;
  auto first = ends.client.start_send_bytes("first");
  CHECK(ends.server.recv_bytes({.deadline = ample}) == "first");
  first.wait();
  const Bytes large = many_bytes(5'000'000);
  auto second = ends.client.start_send_bytes(large);
  std::jthread sender([&] { ends.client.send_bytes("third"); });  // sends what is in front of it, too
  CHECK(ends.server.recv_bytes({.deadline = ample}) == large);
  CHECK(ends.server.recv_bytes({.deadline = ample}) == "third");
  sender.join();
  second.cancel();  // too late: another has sent it
  CHECK_NOTHROW(second.wait());
}

TEST_CASE("a sender returns when its message is sent, whoever is blocked behind it") {
  Ends ends;
  const Bytes large = many_bytes(3'000'000);
  for (int i = 0; i < 5; ++i) {
    auto first = std::async(std::launch::async, [&] { ends.client.send_bytes(large); });
    auto second = std::async(std::launch::async, [&] { ends.client.send_bytes(large); });
    CHECK(ends.server.recv_bytes({.deadline = ample}) == large);
    // One of them is over now, although the other one has filled the way to the server.
    CHECK(eventually([&] {
      return first.wait_for(0s) == std::future_status::ready || second.wait_for(0s) == std::future_status::ready;
    }));
    CHECK(ends.server.recv_bytes({.deadline = ample}) == large);
    first.get();
    second.get();
  }
}

TEST_CASE("clients that nobody accepts are left to the system, whether they need a key or not") {
  constexpr std::size_t let_in = 64;  // before the listener holds the rest back, about
  constexpr std::size_t more = 60;    // which every system keeps
  for (const bool has_key : {true, false}) {
    CAPTURE(has_key);
    const auto key = has_key ? std::optional(good_key()) : std::nullopt;
    Listener listener("", {.authkey = key, .handshake_timeout = ample});
    const std::size_t before = count_descriptors();
    std::vector<Client> clients;
    for (std::size_t i = 0; i < let_in; ++i) {
      clients.emplace_back(listener.address(), ClientOptions{.authkey = key, .deadline = ample});
    }
    CHECK(eventually([&] { return count_descriptors() - before >= 2 * let_in; }));  // both ends of each
    for (std::size_t i = 0; i < more; ++i) clients.emplace_back(listener.address());
    CHECK(count_descriptors() - before < 2 * let_in + more + 20);  // few further ones have another end
    for (std::size_t i = 0; i < let_in; ++i) CHECK_NOTHROW(listener.accept({.deadline = ample}));
    for (std::size_t i = 0; i < more && !has_key; ++i) CHECK_NOTHROW(listener.accept({.deadline = ample}));
  }
}

TEST_CASE("no limit for the handshake is a long one") {
  Listener listener("", {.authkey = good_key(), .handshake_timeout = std::chrono::milliseconds::max()});
  const Client client(listener.address(), {.authkey = good_key(), .deadline = ample});
  CHECK_NOTHROW(listener.accept({.deadline = ample}));
}

TEST_CASE("works that are dropped leave nothing to be woken") {
  Ends ends;
  for (int i = 0; i < 2000; ++i) {
    auto accept = ends.listener.start_accept();
    CHECK_FALSE(accept.poll([] {}));
  }
  std::jthread sender([&] {
    for (int i = 0; i < 50; ++i) ends.server.send_bytes("x");  // as few as every system takes unread
  });
  for (int i = 0; i < 200; ++i) {
    auto receive = ends.client.start_recv_bytes();
    static_cast<void>(receive.poll([] {}));
  }
  // Events of dropped works may come while the socket is given away.
  auto half = pipe();
  {
    static_cast<void>(half.first.start_recv_bytes().poll([] {}));
  }
  half.second.send_bytes("an event");
  CHECK(::close(half.first.release()) == 0);
}

TEST_CASE("a second receiver is refused") {
  Ends ends;
  auto first = ends.client.start_recv_bytes();
  const auto busy = thrown_by<Error>([&] { ends.client.recv_bytes(); });
  REQUIRE(busy);
  CHECK(busy->code() == Errc::busy);
  CHECK_THROWS_AS(static_cast<void>(ends.client.start_recv()), Error);
  CHECK_THROWS_AS(ends.client.poll(), Error);
  CHECK_THROWS_AS(ends.client.release(), Error);
  CHECK_THROWS_AS(answer_challenge(ends.client, good_key()), Error);
  first.cancel();
  CHECK_THROWS_AS(first.wait(), Cancelled);
  ends.server.send_bytes("now");
  CHECK(ends.client.recv_bytes({.deadline = ample}) == "now");
}

TEST_CASE("messages are sent and received without a thread that waits") {
  const TempDir dir;
  for (const std::string& address : every_kind(dir)) {
    CAPTURE(address);
    Listener listener(address, {.authkey = good_key(), .handshake_timeout = ample});
    CompletionQueue queue;
    std::optional<MessageConnection> server;
    listener.start_accept().then(queue, [&](Pending<MessageConnection> accepted) { server = accepted.wait(); });
    queue.poll();
    Client client(listener.address(), {.authkey = good_key(), .deadline = ample});
    while (!server) REQUIRE(queue.run_one(ample));

    const Bytes large = many_bytes(5'000'000);
    int sent = 0;
    std::vector<Bytes> received;
    std::function<void()> receive = [&] {
      server->start_recv_bytes().then(queue, [&](Pending<Bytes> message) {
        received.push_back(message.wait());
        if (received.size() < 4) receive();
      });
    };
    receive();
    for (int i = 0; i < 4; ++i) {
      client.start_send_bytes(large + Bytes(1, static_cast<char>(i))).then(queue, [&](Pending<void> done) {
        done.wait();
        ++sent;
      });
    }
    while (received.size() < 4 || sent < 4) REQUIRE(queue.run_one(ample));
    for (std::size_t i = 0; i < 4; ++i) CHECK(received[i] == large + Bytes(1, static_cast<char>(i)));

    auto value = client.start_recv();
    server->start_send(Value(42)).wait();
    CHECK(value.wait() == Value(42));
  }
}

TEST_CASE("started works end at their deadline and by a stop, also in a queue") {
  Ends ends;
  CompletionQueue queue;
  std::stop_source stop;
  int timeouts = 0;
  int stops = 0;
  const auto count = [&](auto pending) {
    try {
      pending.wait();
    } catch (const Timeout&) {
      ++timeouts;
    } catch (const Cancelled&) {
      ++stops;
    }
  };
  ends.client.start_recv_bytes({.deadline = 20ms}).then(queue, count);
  ends.server.start_recv_bytes({.stop = stop.get_token()}).then(queue, count);
  ends.listener.start_accept({.deadline = 20ms}).then(queue, count);
  ends.listener.start_accept({.stop = stop.get_token()}).then(queue, count);
  while (timeouts < 2) REQUIRE(queue.run_one(ample));
  stop.request_stop();
  while (stops < 2) REQUIRE(queue.run_one(ample));

  ends.listener.start_accept().then(queue, count);
  queue.poll();
  ends.listener.close();
  while (stops < 3) REQUIRE(queue.run_one(ample));

  ends.server.start_recv_bytes().then(queue, [](Pending<Bytes> end) { CHECK_THROWS_AS(end.wait(), EndOfMessages); });
  queue.poll();
  ends.client.close();
  while (queue.size() > 0) REQUIRE(queue.run_one(ample));
}

TEST_CASE("a started send that is dropped half sent ends the connection, and one that has not begun does not") {
  Ends ends;
  {
    auto large = ends.client.start_send_bytes(Bytes(50'000'000, 'x'));
    for (int i = 0; i < 3; ++i) CHECK_FALSE(large.wait_until(no_wait));
    auto behind = ends.client.start_send_bytes("behind");
    CHECK_FALSE(behind.wait_until(no_wait));
    behind.cancel();
    std::jthread reader([&] { CHECK(ends.server.recv_bytes({.deadline = ample}).size() == 50'000'000); });
    large.wait();
  }
  ends.client.send_bytes("next");
  CHECK(ends.server.recv_bytes({.deadline = ample}) == "next");
  { CHECK_FALSE(ends.client.start_send_bytes(Bytes(50'000'000, 'x')).wait_until(no_wait)); }
  CHECK_THROWS_AS(ends.client.send_bytes("more"), ConnectionLost);
  const auto cut = thrown_by<ConnectionLost>([&] { ends.server.recv_bytes({.deadline = ample}); });
  REQUIRE(cut);
  CHECK(cut->reason() == DisconnectReason::cut);
}

TEST_CASE("challenges are delivered and answered over a transport of one's own") {
  const auto play = [](const AuthKey& theirs) {
    auto [one, other] = memory_pair();
    MessageConnection ours(std::move(one));
    MessageConnection their_end(std::move(other));
    std::future<void> answer =
        std::async(std::launch::async, [&] { answer_challenge(their_end, theirs, {.deadline = ample}); });
    std::optional<AuthenticationError> delivered =
        thrown_by<AuthenticationError>([&] { deliver_challenge(ours, good_key(), {.deadline = ample}); });
    std::optional<AuthenticationError> answered = thrown_by<AuthenticationError>([&] { answer.get(); });
    CHECK(delivered.has_value() == answered.has_value());
    if (!delivered) {
      ours.send_bytes("after");
      CHECK(their_end.recv_bytes({.deadline = ample}) == "after");
    } else {
      CHECK_THROWS_AS(ours.send_bytes("after"), ConnectionLost);
    }
    return !delivered;
  };
  CHECK(play(good_key()));
  CHECK_FALSE(play(random_authkey()));

  auto [one, other] = memory_pair();
  MessageConnection ours(std::move(one));
  CHECK_THROWS_AS(deliver_challenge(ours, good_key(), {.deadline = 10ms}), Timeout);
  CHECK(ours.is_closed());
  MessageConnection theirs(std::move(other));
  const auto ended = thrown_by<ConnectionLost>([&] { answer_challenge(theirs, good_key(), {.deadline = ample}); });
  REQUIRE(ended);
  CHECK(has(ended->what(), "does the other side have an authkey?"));
}

TEST_CASE("two ends that both deliver, or both answer, fail with a sentence") {
  auto [one, other] = memory_pair();
  MessageConnection first(std::move(one));
  MessageConnection second(std::move(other));
  auto theirs = std::async(std::launch::async, [&] {
    return thrown_by<AuthenticationError>([&] { deliver_challenge(second, good_key(), {.deadline = ample}); });
  });
  const auto ours = thrown_by<AuthenticationError>([&] { deliver_challenge(first, good_key(), {.deadline = ample}); });
  REQUIRE(ours);
  CHECK(theirs.get());
  CHECK(has(ours->what(), "is a listener as well"));

  auto [third_end, fourth_end] = memory_pair();
  MessageConnection third(std::move(third_end));
  MessageConnection fourth(std::move(fourth_end));
  auto silent = std::async(std::launch::async, [&] {
    return thrown_by<Error>([&] { answer_challenge(fourth, good_key(), {.deadline = 50ms}); });
  });
  const auto also_silent = thrown_by<Error>([&] { answer_challenge(third, good_key(), {.deadline = 50ms}); });
  REQUIRE(also_silent);
  CHECK(has(also_silent->what(), "does the other side have an authkey?"));
  CHECK(silent.get());
}

TEST_CASE("a key reaches a child by a pipe") {
  const AuthKeyPipe key_pipe(good_key());
  CHECK((::fcntl(key_pipe.descriptor(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(read_authkey(::dup(key_pipe.descriptor()), ample).bytes() == good_key().bytes());
  CHECK_THROWS_AS(read_authkey(::dup(key_pipe.descriptor()), ample), Error);  // it is empty now
  CHECK_THROWS_AS(AuthKeyPipe(AuthKey(Bytes(5000, 'k'))), Error);
  const auto none = thrown_by<Error>([] { read_authkey(-1); });
  REQUIRE(none);
  CHECK(none->os() == std::errc::bad_file_descriptor);
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  CHECK_THROWS_AS(read_authkey(::dup(ends[0]), no_wait), Timeout);
  CHECK_THROWS_AS(read_authkey(ends[0], 10ms), Timeout);
  ::close(ends[1]);
}

TEST_CASE("the end of a pipe can be given away, and used again as a descriptor") {
  auto [ours, theirs] = pipe();
  theirs.send_bytes("before");
  const int end = theirs.release();
  CHECK(theirs.is_closed());
  CHECK(theirs.descriptor() == -1);
  CHECK_THROWS_AS(theirs.recv_bytes(), ConnectionLost);
  CHECK_THROWS_AS(theirs.send_bytes("x"), ConnectionLost);
  CHECK_THROWS_AS(theirs.release(), ConnectionLost);
  theirs.close();
  timeval limit{1, 1};
  socklen_t size = sizeof limit;
  REQUIRE(::getsockopt(end, SOL_SOCKET, SO_RCVTIMEO, &limit, &size) == 0);
  CHECK(limit.tv_sec == 0);
  CHECK(limit.tv_usec == 0);
  MessageConnection again = MessageConnection::from_descriptor(end);
  CHECK(again.descriptor() == end);
  CHECK(ours.recv_bytes({.deadline = ample}) == "before");
  ours.send_bytes("answer");
  CHECK(again.recv_bytes({.deadline = ample}) == "answer");
  CHECK_THROWS_AS(MessageConnection::from_descriptor(-1), Error);
  const int file = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  CHECK_THROWS_AS(MessageConnection::from_descriptor(file), Error);
  CHECK(::close(file) == 0);
  auto [memory, other] = memory_pair();
  CHECK_THROWS_AS(MessageConnection(std::move(memory)).release(), Error);
  auto half_sent = ours.start_send_bytes(Bytes(50'000'000, 'x'));
  const auto busy = thrown_by<Error>([&connection = ours] { connection.release(); });
  REQUIRE(busy);
  CHECK(busy->code() == Errc::busy);
}

TEST_CASE("a value that is no plain data is refused by name, and the connection goes on") {
  Ends ends;
  ends.client.send_bytes("cos\nsystem\n(S'true'\ntR.");  // runs a command where it is unpickled
  const auto refused = thrown_by<ProtocolError>([&] { ends.server.recv({.deadline = ample}); });
  REQUIRE(refused);
  CHECK(has(refused->what(), "GLOBAL"));
  ends.client.send(Value::text("fine"));
  CHECK(ends.server.recv({.deadline = ample}) == Value::text("fine"));
  CHECK_THROWS_AS(ends.client.send(Value::text("\xff")), Error);
  CHECK_THROWS_AS(static_cast<void>(ends.client.start_send(Value::set({Value::list({})}))), Error);
}

TEST_CASE("a connection that was moved away says so") {
  Ends ends;
  MessageConnection moved = std::move(ends.client);
  CHECK_THROWS_AS(ends.client.send_bytes("x"), Error);
  CHECK_THROWS_AS(ends.client.recv_bytes(), Error);
  CHECK(ends.client.is_closed());
  ends.client.close();
  moved.send_bytes("x");
  moved = std::move(ends.server);  // closes the one that it was
  CHECK(moved.recv_bytes({.deadline = ample}) == "x");
  CHECK_THROWS_AS(moved.recv_bytes({.deadline = ample}), EndOfMessages);
  MessageConnection none;
  CHECK(none.is_closed());
  CHECK_THROWS_AS(none.send_bytes("x"), Error);
}

}  // namespace remsh::test
