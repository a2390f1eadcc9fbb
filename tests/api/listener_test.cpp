// Listeners: who is let in, who is not, and what the others notice of it.
#include "support/listen_at.hpp"
#include "support/played_slave.hpp"
#include "support/slaves.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <type_traits>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;
using Reason = ServeResult::Reason;

/// What a peer gets until the other side closes.
Bytes read_to_end(int socket) {
  Bytes result;
  for (;;) {
    pollfd ready{socket, POLLIN, 0};
    if (::poll(&ready, 1, 60'000) != 1) return "the other side does not close";
    char buffer[4096];
    const ssize_t count = ::read(socket, buffer, sizeof buffer);
    if (count <= 0) return result;
    result.append(buffer, static_cast<std::size_t>(count));
  }
}

/// The sockets of this process that were accepted at a port of ours.
std::vector<int> accepted_at(std::uint16_t port) {
  std::vector<int> result;
  for (int descriptor = 0; descriptor < 4096; ++descriptor) {
    sockaddr_in here{};
    sockaddr_in there{};
    socklen_t size = sizeof here;
    if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&here), &size) != 0) continue;
    if (here.sin_family != AF_INET || ntohs(here.sin_port) != port) continue;
    size = sizeof there;
    if (::getpeername(descriptor, reinterpret_cast<sockaddr*>(&there), &size) == 0) result.push_back(descriptor);
  }
  return result;
}

/// False if its port is taken: another process may have been given it meanwhile.
bool starts(SlaveListener& listener) {
  const auto error = thrown_by<Error>([&listener] { listener.start(); });
  return !error || error->code() != Errc::in_use;
}

int socket_option(int socket, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  return ::getsockopt(socket, level, name, &value, &size) == 0 ? value : -1;
}

}  // namespace

TEST_CASE("a listener tells its address, and takes slaves from start() to stop()") {
  for (const Over over : {Over::tcp, Over::unix_socket}) {
    CAPTURE(to_string(over));
    Farm farm(over);
    const std::string address = farm.listener->address();
    CHECK(address.ends_with(":0") == false);
    const auto slave = farm.start("one");
    REQUIRE(slave);
    farm.listener->stop();
    CHECK(farm.listener->address().empty());
    farm.listener->stop();

    SlaveServer late({.name = "late", .basedir = farm.basedir("late"), .keyless = true});
    CHECK(late.run_once(address).reason == Reason::unreachable);
    CHECK(slave->execute({"echo", "still here"}).out == "still here\n");

    farm.listener->start();
    const auto twice = thrown_by<Error>([&] { farm.listener->start(); });
    REQUIRE(twice);
    CHECK(twice->code() == Errc::invalid_argument);
    CHECK(twice->message() ==
          "it listens on " + farm.listener->address() + " already: stop() it first, or make another listener");
    CHECK(farm.start("two"));
    CHECK(slave->is_connected());
  }
}

TEST_CASE("a port that is taken, and one that is not on the loopback, are refused") {
  Farm farm(Over::tcp);
  TcpSlaveListener second({.slave_collection = farm.slaves, .port = farm.port(), .keyless = true});
  const auto taken = thrown_by<Error>([&] { second.start(); });
  REQUIRE(taken);
  CHECK(taken->code() == Errc::in_use);
  CHECK(std::string(taken->what()) ==
        "listen: 127.0.0.1:" + std::to_string(farm.port()) +
            ": Address already in use; end the program that listens there (ss -ltnp shows it), or choose another port: "
            "with 0 the system does (EADDRINUSE)");
  for (const char* host : {"0.0.0.0", "192.0.2.1", "::", "example.com", "127.example.com", ""}) {
    const auto refused = thrown_by<Error>(
        [&] { TcpSlaveListener open({.slave_collection = farm.slaves, .host = host, .keyless = true}); });
    REQUIRE(refused);
    CHECK(refused->code() == Errc::invalid_argument);
    CHECK(refused->message().find("loopback") != std::string::npos);
  }
}

TEST_CASE("a TCP listener says where it listens, and that everybody there can register") {
  Farm farm(Over::tcp);
  CHECK(farm.log.wait_for("listens on " + farm.listener->address() +
                          ": slaves need no key, so every local user can register"));
}

TEST_CASE("the sockets of TCP slaves keep alive and give up as the listener's options say") {
  for (const auto user_timeout : {12'345ms, 0ms}) {
    const bool keepalive = user_timeout > 0ms;
    CAPTURE(keepalive);
    SlaveCollection slaves;
    TcpSlaveListener listener({.slave_collection = slaves,
                               .keyless = true,
                               .tcp_keepalive = keepalive,
                               .tcp_keepalive_idle = keepalive ? 77s : 0s,
                               .tcp_user_timeout = user_timeout});
    listener.start();
    const auto slave = register_by_hand(socket_transport(connect_to_port(listener.port()), "a test"), "worker");
    const std::vector<int> sockets = accepted_at(listener.port());
    REQUIRE(sockets.size() == 1);
    CHECK(socket_option(sockets.front(), SOL_SOCKET, SO_KEEPALIVE) == (keepalive ? 1 : 0));
#if defined(TCP_KEEPIDLE)
    const int system_idle = socket_option(connect_to_port(listener.port()), IPPROTO_TCP, TCP_KEEPIDLE);
    CHECK(socket_option(sockets.front(), IPPROTO_TCP, TCP_KEEPIDLE) == (keepalive ? 77 : system_idle));
#endif
#if defined(TCP_USER_TIMEOUT)
    CHECK(socket_option(sockets.front(), IPPROTO_TCP, TCP_USER_TIMEOUT) == user_timeout.count());
#endif
  }
}

TEST_CASE("a unix socket is for its owner, replaces a stale one, leaves one that is in use, and goes") {
  Farm farm(Over::unix_socket);
  const std::string path = farm.dir / "other";
  UnixSlaveListener other({.slave_collection = farm.slaves, .path = path});
  const int socket = listen_at(path);
  const auto taken = thrown_by<Error>([&] { other.start(); });
  REQUIRE(taken);
  CHECK(taken->code() == Errc::in_use);
  CHECK(taken->message() ==
        "unix:" + path + ": Address already in use; end the program that listens there, or choose another path");
  CHECK(farm.dir.has("other"));
  ::close(socket);  // and leaves the file behind
  other.start();
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
  other.stop();
  CHECK_FALSE(farm.dir.has("other"));

  farm.dir.write("other", "a file of somebody");
  CHECK(thrown_by<Error>([&] { other.start(); }));
  CHECK(farm.dir.read("other") == "a file of somebody");
}

TEST_CASE("a listener is an abstract class, and null is no connection") {
  static_assert(std::is_abstract_v<SlaveListener>);
  for (const Over over : {Over::tcp, Over::memory}) {
    Farm farm(over);
    const auto refused = thrown_by<Error>([&] { farm.listener->handle_new_connection(nullptr); });
    REQUIRE(refused);
    CHECK(refused->code() == Errc::invalid_argument);
    CHECK(farm.start());
  }
  struct Own final : SlaveListener {
    using SlaveListener::SlaveListener;
    ~Own() override { shut_down(); }
    void start() override {}
    void stop() override {}
    [[nodiscard]] std::string address() const override { return "own"; }
    void admit_nothing() { admit(nullptr); }
  };
  SlaveCollection slaves;
  Own own({.slave_collection = slaves});
  const auto refused = thrown_by<Error>([&own] { own.admit_nothing(); });
  REQUIRE(refused);
  CHECK(refused->code() == Errc::invalid_argument);
}

TEST_CASE("an address makes its listener, and the address that a listener has makes another like it") {
  const TempDir dir;
  KeyRing keys;
  SlaveCollection slaves;
  const std::string path = "unix:" + dir.path() + "/farm.sock";
  for (const std::string& address : {std::string("tcp:127.0.0.1:0"), std::string("tcp:[::1]:0"),
                                     std::string("127.0.0.1:0"), std::string("tls:127.0.0.1:0"), path}) {
    CAPTURE(address);
    TcpListenerOptions options{.slave_collection = slaves, .address = address};
    if (address.starts_with("tls:")) {
      options.keys = keys;
    } else {
      options.keyless = true;
    }
    std::unique_ptr<SlaveListener> listener = make_listener(options);
    CHECK(listener->address().empty());
    listener->start();
    const std::string its = listener->address();
    CHECK_FALSE(its.ends_with(":0"));
    CHECK((its == path || address.starts_with("unix:") == false));
    if (!address.starts_with("tls:")) {
      SlaveThread slave({.name = "w1", .basedir = dir / "w1", .keyless = true},
                        [&its](auto& server) { return server.run_once(its); });
      CHECK(slaves.get_slave(ample));
    }
    listener.reset();
    options.address = its;
    listener = make_listener(options);
    REQUIRE(eventually([&listener] { return starts(*listener); }));
    CHECK(listener->address() == its);
  }
}

TEST_CASE("an address or an option that a listener cannot keep to is refused, with the place") {
  SlaveCollection slaves;
  const auto refusal = [&slaves](const std::string& address, const std::function<void(TcpListenerOptions&)>& change) {
    TcpListenerOptions options{.slave_collection = slaves, .address = address, .keyless = true};
    change(options);
    const auto refused = thrown_by<Error>([&] { static_cast<void>(make_listener(options)); });
    REQUIRE(refused);
    CHECK(refused->code() == Errc::invalid_argument);
    CHECK(refused->operation() == "listen on '" + address + "'");
    return refused->message();
  };
  const auto plain = [](TcpListenerOptions&) {};
  CHECK(refusal("TCP:127.0.0.1:0", plain).find("begins with 'TCP:', which is written 'tcp:'") != std::string::npos);
  CHECK(refusal("Unix:/tmp/x", plain).find("begins with 'Unix:', which is written 'unix:'") != std::string::npos);
  CHECK(refusal("tcp:127.0.0.1:many", plain).find("the port 'many'") != std::string::npos);
  CHECK(refusal("", plain).find("is empty") != std::string::npos);
  CHECK(refusal("unix:", plain).find("unix:") != std::string::npos);
  CHECK(refusal("tcp:127.0.0.1:0", [](auto& options) { options.port = 0; }).find("write both into `address`") !=
        std::string::npos);
  CHECK(refusal("tcp:127.0.0.1:0", [](auto& options) { options.host = "::1"; }).find("write both into `address`") !=
        std::string::npos);
  CHECK(refusal("unix:/tmp/x", [](auto& options) { options.port = 1; }).find("no port") != std::string::npos);
  CHECK(refusal("unix:/tmp/x", [](auto& options) { options.protocols = {SlaveProtocol::remsh1()}; }).find("TCP alone") != std::string::npos);
  CHECK(refusal("unix:/tmp/x", [](auto& options) { options.certificate = TlsIdentity{}; }).find("tls:HOST:PORT") !=
        std::string::npos);
}

TEST_CASE("a unix socket stays where it was made for when the host program changes its directory") {
  const TempDir dir;
  ::mkdir((dir / "elsewhere").c_str(), 0700);
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(dir.path());
  SlaveCollection slaves;
  UnixSlaveListener listener({.slave_collection = slaves, .path = "farm.sock"});
  std::filesystem::current_path(dir / "elsewhere");
  listener.start();
  CHECK(listener.address() == "unix:" + (dir / "farm.sock"));
  CHECK(dir.has("farm.sock"));
  listener.stop();
  CHECK_FALSE(dir.has("farm.sock"));
  std::filesystem::current_path(before);
}

TEST_CASE("a name is for one slave at a time") {
  Farm farm(Over::tcp);
  const auto first = farm.start("worker");
  const ServeResult result = farm.call_in("worker").result();
  CHECK(result.reason == Reason::refused);
  CHECK_FALSE(result.registered);
  CHECK(result.retry == 2000ms);
  CHECK(result.message.find("worker") != std::string::npos);
  CHECK(first->execute({"true"}).ok());
  CHECK(farm.log.wait_for("not let in"));
  first->disconnect();
  CHECK(eventually([&] { return farm.slaves.size() == 0; }));
  CHECK(farm.start("worker"));
}

TEST_CASE("a slave that has come again takes the place of its old self that does not answer") {
  Farm farm(Over::local_process, {.arbitration_timeout = 200ms, .kill_after = 100ms});
  const auto old = farm.start("worker");
  REQUIRE(stop_process(process_of(*old)));
  auto [ours, theirs] = memory_pair();
  farm.serve("worker", std::move(theirs));  // has shown nothing, and so is refused whether the old one answers or not
  CHECK(thrown_by<Error>([&, &end = ours] { farm.listener->handle_new_connection(std::move(end)); }));
  CHECK(old->is_connected());
  const auto newer = farm.local().start_slave(farm.basedir("again"), "worker");
  CHECK(newer->execute({"true"}).ok());
  CHECK(farm.slaves.find("worker") == newer);
  CHECK_FALSE(old->is_connected());
  CHECK(old->lost_reason().find("another slave of this name") != std::string::npos);
}

TEST_CASE("nobody waits for a hundred mute peers, nor for a setup() that takes long") {
  struct Slow final : Slave {
    Slow(SlaveInit init, Event begun, Event go) : Slave(std::move(init)), begun_(begun), go_(go) {}
    void setup() override {
      begun_.happened();
      if (!go_.wait()) throw std::runtime_error("nobody let it go");
    }
    Event begun_;
    Event go_;
  };
  const Event begun;
  const Event go;
  Farm farm(Over::tcp, {.slave_class = [=](SlaveInit init) -> std::shared_ptr<Slave> {
              if (init.info().name == "slow") return std::make_shared<Slow>(std::move(init), begun, go);
              return std::make_shared<Slave>(std::move(init));
            }});
  std::vector<int> mute;
  for (int i = 0; i < 100; ++i) mute.push_back(connect_to_port(farm.port()));
  farm.call_in("slow");
  REQUIRE(begun.wait());
  const auto quick = farm.start("quick");
  REQUIRE(quick);
  CHECK(quick->execute({"true"}).ok());
  CHECK(farm.slaves.find("slow") == nullptr);
  go.happened();
  CHECK(farm.slaves.get_slave(ample, [](const Slave& slave) { return slave.name() == "slow"; }));
  for (const int socket : mute) ::close(socket);
}

TEST_CASE("setup() may use the slave, before anybody finds it in the collection") {
  struct Prepared final : Slave {
    using Slave::Slave;
    void setup() override {
      mkdir("prepared");
      ok = execute({"test", "-d", "prepared"}).ok();
    }
    std::atomic<bool> ok = false;
  };
  for (const Over over : all_transports) {
    CAPTURE(to_string(over));
    Farm farm(over, {.slave_class = slave_class<Prepared>()});
    const auto slave = std::dynamic_pointer_cast<Prepared>(farm.start());
    REQUIRE(slave);
    CHECK(slave->ok);
  }
}

TEST_CASE("a slave whose setup() fails is dropped, and told why") {
  struct Failing final : Slave {
    using Slave::Slave;
    void setup() override { throw std::runtime_error("no compiler here"); }
  };
  Farm farm(Over::tcp, {.slave_class = slave_class<Failing>()});
  const ServeResult result = farm.call_in("worker").result();
  CHECK(result.reason == Reason::ended);
  CHECK(result.registered);
  CHECK(result.message.find("no compiler here") != std::string::npos);
  CHECK(farm.slaves.size() == 0);
  CHECK(farm.log.wait_for("no compiler here"));

  auto [ours, theirs] = memory_pair();
  farm.serve("other", std::move(theirs));
  const auto error = thrown_by<Error>([&, &end = ours] { farm.listener->handle_new_connection(std::move(end)); });
  REQUIRE(error);
  CHECK(error->code() == Errc::refused);
  CHECK(error->message().find("no compiler here") != std::string::npos);
}

TEST_CASE("the slave class is chosen by what the slave says, and may refuse it") {
  struct Special final : Slave {
    using Slave::Slave;
  };
  Farm farm(Over::tcp, {.slave_class = [](SlaveInit init) -> std::shared_ptr<Slave> {
              if (init.info().name == "special") return std::make_shared<Special>(std::move(init));
              if (init.info().name == "unwanted") throw SlaveRefused("only special ones today");
              if (init.info().name == "broken") throw std::runtime_error("the factory is on fire");
              if (init.info().name == "none") return nullptr;
              return std::make_shared<Slave>(std::move(init));
            }});
  CHECK(std::dynamic_pointer_cast<Special>(farm.start("special")));
  const auto plain = farm.start("plain");
  REQUIRE(plain);
  CHECK_FALSE(std::dynamic_pointer_cast<Special>(plain));
  for (const auto& example : std::map<std::string, std::string>{
           {"unwanted", "only special ones today"}, {"broken", "the factory is on fire"}, {"none", "nothing"}}) {
    const auto& name = example.first;
    const auto& words = example.second;
    CAPTURE(name);
    const ServeResult result = farm.call_in(name).result();
    CHECK(result.reason == Reason::refused);
    CHECK(result.message.find(words) != std::string::npos);
    CHECK(farm.log.wait_for(words));
  }
  CHECK(farm.slaves.size() == 2);
}

TEST_CASE("two masters in one process never mix, nor do listeners that share threads and a collection") {
  const auto runtime = make_runtime();
  Farm one(Over::tcp, {.runtime = runtime});
  Farm two(Over::tcp, {.runtime = runtime});
  const auto slave_of_one = one.start("worker");
  const auto slave_of_two = two.start("worker");
  CHECK(slave_of_one->call("where").get("basedir") == slave_of_one->info().basedir);
  CHECK(slave_of_two->call("where").get("basedir") == slave_of_two->info().basedir);
  CHECK(slave_of_one->info().basedir != slave_of_two->info().basedir);
  CHECK(one.slaves.size() == 1);
  CHECK(two.slaves.size() == 1);

  UnixSlaveListener beside(
      {.slave_collection = one.slaves, .path = one.dir / "beside", .log = one.log.hook(), .runtime = runtime});
  beside.start();
  SlaveThread third({.name = "third", .basedir = one.basedir("third")},
                    [address = beside.address()](auto& server) { return server.run_once(address); });
  CHECK(one.slaves.wait_for_slaves(2, ample));

  one.listener.reset();
  CHECK_FALSE(slave_of_one->is_connected());
  CHECK(slave_of_two->execute({"true"}).ok());
  CHECK(one.slaves.find("third"));
}

TEST_CASE("the destructor of a listener wakes who is in an operation") {
  for (const Over over : all_transports) {
    CAPTURE(to_string(over));
    Farm farm(over);
    const auto slave = farm.start();
    const Lifeline lifeline;
    std::optional<ConnectionLost> lost;
    std::jthread caller([&] { lost = thrown_by<ConnectionLost>([&] { slave->execute(lifeline.endless_command()); }); });
    REQUIRE(lifeline.wait_for_begin());
    farm.listener.reset();
    caller.join();
    REQUIRE(lost);
    CHECK(lost->operation() == "execute 'sh'");
    CHECK(lost->message() == "the master shuts down");
    CHECK(lifeline.wait_for_end());
  }
}

TEST_CASE("strangers cost only their own connection, and the log says what they were") {
  Farm farm(Over::tcp, {.handshake_timeout = 60s});
  const auto slave = farm.start();
  const std::string request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const std::string tls = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + std::string(500, 'r');
  Bytes remsh1;
  const auto add = [&remsh1](const Bytes& text) {
    remsh1 += static_cast<char>(text.size() >> 8);
    remsh1 += static_cast<char>(text.size());
    remsh1 += text;
  };
  for (const char* text : {"hostname", "old", "type", "register", "version", "1"}) add(text);
  remsh1 += Bytes(2, '\0');
  Bytes oversized = Bytes("\0\4_ask\0\1", 8) + "1" + Bytes("\0\4name\xff\xff", 8) + Bytes(65535, 'n');

  for (const auto& example : std::vector<std::pair<Bytes, std::string>>{
           {request, "HTTP"},
           {tls, "TLS"},
           {remsh1, "remsh 1"},
           {oversized, "too large"},
           {Bytes(2, '\0'), "empty box"},
           {"SSH-2.0-OpenSSH_9.2\r\n", "SSH"},
       }) {
    const auto& bytes = example.first;
    const auto& words = example.second;
    CAPTURE(words);
    const int socket = connect_to_port(farm.port());
    REQUIRE(socket >= 0);
    static_cast<void>(::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL));
    read_to_end(socket);
    ::close(socket);
    CHECK(farm.log.wait_for(words));
  }
  CHECK(slave->execute({"true"}).ok());
  CHECK(farm.slaves.size() == 1);
}

TEST_CASE("who says nothing is sent away after a while") {
  Farm farm(Over::tcp, {.handshake_timeout = 50ms});
  const int socket = connect_to_port(farm.port());
  CHECK(read_to_end(socket).empty());
  ::close(socket);
  CHECK(farm.log.wait_for("did not register within 50 ms"));
}

TEST_CASE("of a hundred mute peers no more stay than allowed, and who comes when they have gone is let in") {
  constexpr std::size_t allowed = 8;
  SlaveCollection slaves;
  const Log log;
  TcpSlaveListener listener({.slave_collection = slaves,
                             .keyless = true,
                             .handshake_timeout = ample,
                             .max_handshakes = allowed,
                             .log = log.hook()});
  listener.start();
  const TempDir dir;
  const auto serve = [&](const std::string& name) {
    return std::make_unique<SlaveThread>(
        SlaveOptions{.name = name, .basedir = dir / name, .keyless = true, .back_off_min = 1ms, .back_off_max = 10ms},
        [address = listener.address()](SlaveServer& server) { return server.run(address); });
  };
  const auto early_server = serve("early");
  const auto early = slaves.get_slave(ample);
  REQUIRE(early);

  std::vector<int> mute;
  for (int i = 0; i < 100; ++i) mute.push_back(connect_to_port(listener.port()));
  const auto closed = [&mute] {
    return static_cast<std::size_t>(std::count_if(mute.begin(), mute.end(), [](int socket) {
      pollfd polled{socket, POLLIN, 0};
      return ::poll(&polled, 1, 0) == 1;
    }));
  };
  CHECK(eventually([&] { return closed() >= mute.size() - allowed; }));
  CHECK(closed() <= mute.size() - allowed + 1);  // the early one gives its place back a moment after it is found
  CHECK(log.wait_for("it gives way: too many are registering"));
  CHECK(early->execute({"true"}).ok());

  for (const int socket : mute) ::close(socket);
  const auto late_server = serve("late");
  CHECK(slaves.wait_for_slaves(2, ample));
  CHECK(early->is_connected());
}

TEST_CASE("a registered slave that breaks the protocol loses its connection, and the caller learns why") {
  const Bytes value(65535, 'x');
  Box oversized;
  for (char key = 'a'; key <= 'z'; ++key) oversized.set(Bytes(1, key), value);
  for (const auto& example :
       std::vector<std::pair<Box, std::string>>{{oversized, "box"},
                                                {Box{{"_ask", "1"}, {"_command", "execute"}}, "execute"},
                                                {Box{{"_answer", "77"}}, "77"}}) {
    const auto& box = example.first;
    const auto& words = example.second;
    CAPTURE(words);
    Farm farm(Over::tcp);
    const auto connection = register_by_hand(socket_transport(connect_to_port(farm.port()), "a test"), "worker");
    const auto slave = farm.slaves.get_slave(ample);
    REQUIRE(slave);
    std::optional<Error> error;
    std::jthread caller([&] { error = thrown_by<Error>([&] { slave->stat("file"); }); });
    REQUIRE(connection->read_box(ample));  // the call
    static_cast<void>(thrown_by<ConnectionLost>([&] { connection->send_box(box); }));  // may end within a large box
    caller.join();
    REQUIRE(error);
    CHECK(error->code() == Errc::protocol_error);
    CHECK(error->operation() == "stat 'file'");
    CHECK(error->message().find(words) != std::string::npos);
    CHECK(farm.log.wait_for("disconnected: "));
  }
}

TEST_CASE("a slave that is silent is dropped, one that answers pings stays") {
  Farm farm(Over::tcp, {.keepalive = 100ms, .keepalive_patience = 2000ms});
  const auto connection = register_by_hand(socket_transport(connect_to_port(farm.port()), "a test"), "worker");
  const auto slave = farm.slaves.get_slave(ample);
  REQUIRE(slave);
  const Event ended;
  slave->on_disconnect([ended] { ended.happened(); });
  // Nothing but pings goes either way, for longer than silence is borne.
  const auto until = std::chrono::steady_clock::now() + 2500ms;
  while (std::chrono::steady_clock::now() < until) {
    const auto ping = connection->read_box(ample);
    REQUIRE(ping);
    CHECK(ping->get("_command") == "ping");
    connection->send_box({{"_answer", *ping->get("_ask")}});
  }
  CHECK(slave->is_connected());
  CHECK(ended.wait());
  CHECK(slave->lost_reason().find("nothing came from the other side for ") != std::string::npos);
  CHECK(slave->lost_reason().find("0.1 s (keepalive) and 2 s more (keepalive_patience)") != std::string::npos);
}

TEST_CASE("keepalive is changed while a listener runs, for slaves that are there and slaves that come") {
  Farm farm(Over::tcp, {.keepalive = 0ms});
  CHECK_THROWS_AS(farm.listener->set_keepalive(-1ms), Error);
  const auto is_pinged = [](Connection& connection) {
    const auto box = connection.read_box(ample);
    return box && box->get("_command") == "ping";
  };
  const auto there = register_by_hand(socket_transport(connect_to_port(farm.port()), "a test"), "there");
  const auto slave = farm.slaves.get_slave(ample);
  REQUIRE(slave);
  CHECK_THROWS_AS(slave->set_keepalive(1ms, -1ms), Error);
  farm.listener->set_keepalive(50ms, 50ms);  // such a patience is made longer
  for (int round = 0; round < 3; ++round) {
    const auto ping = there->read_box(ample);
    REQUIRE(ping);
    CHECK(ping->get("_command") == "ping");
    there->send_box({{"_answer", *ping->get("_ask")}});
  }
  CHECK(slave->is_connected());
  const auto comes = register_by_hand(socket_transport(connect_to_port(farm.port()), "a test"), "comes");
  CHECK(is_pinged(*comes));
}

TEST_CASE("a master that is silent is given up by its slave, one that answers pings is not") {
  Farm farm(Over::memory, {.keepalive_patience = 2000ms});
  auto [ours, theirs] = memory_pair();
  auto& server = farm.serve("worker", std::move(theirs));
  Connection master(std::move(ours));
  REQUIRE(master.read_box(ample));
  master.send_box({{"_answer", "1"}, {"features", ""}, {"nonce", Bytes(32, 'b')}, {"version", "2"}});
  REQUIRE(master.read_box(ample));
  master.send_box({{"_answer", "2"}, {"keepalive", "100"}});
  const auto until = std::chrono::steady_clock::now() + 2500ms;
  while (std::chrono::steady_clock::now() < until) {
    const auto ping = master.read_box(ample);
    REQUIRE(ping);
    CHECK(ping->get("_command") == "ping");
    master.send_box({{"_answer", *ping->get("_ask")}});
  }
  const ServeResult result = server.result();
  CHECK(result.reason == Reason::lost);
  CHECK(result.registered);
  CHECK(result.message.find("nothing came from the other side for ") != std::string::npos);
  CHECK(result.message.find("0.1 s (keepalive) and 2 s more (keepalive_patience)") != std::string::npos);
}

TEST_CASE("tens of MiB each way, and who takes them slowly, hold no ping up") {
  constexpr std::size_t much = 24 * 1024 * 1024;
  Bytes bytes(much, '\0');
  for (std::size_t i = 0; i < much; ++i) bytes[i] = static_cast<char>((i * 7 + i / 251) % 256);
  const auto give = [&bytes] {
    return InputCallback([rest = BytesView(bytes)](std::span<char> buffer) mutable {
      const std::size_t count = rest.copy(buffer.data(), buffer.size());
      rest.remove_prefix(count);
      return count;
    });
  };
  for (const Over over : all_transports) {
    CAPTURE(to_string(over));
    Farm farm(over, {.keepalive = 50ms, .keepalive_patience = 10s});
    const auto slave = farm.start();
    slave->send(Source::bytes(bytes), "file");
    std::atomic<int> running = 3;
    Bytes echoed;
    Bytes fetched;
    std::vector<std::jthread> threads;
    const auto start = [&](const std::function<void()>& transfer) {
      threads.emplace_back([&running, transfer] {
        CHECK_NOTHROW(transfer());
        --running;
      });
    };
    start([&] { slave->send(Source(give()), "sent"); });
    start([&] { echoed = slave->execute({"cat"}, {.in = give()}).out; });
    start([&] {
      slave->fetch("file", Sink([&](BytesView piece) {
                     fetched += piece;
                     slave->ping({.deadline = 10s});
                   }));
    });
    int pings = 0;
    for (; running > 0; ++pings) CHECK_NOTHROW(slave->ping({.deadline = 10s}));
    threads.clear();
    CHECK(pings > 0);
    CHECK((fetched == bytes));
    CHECK((echoed == bytes));
    CHECK((farm.dir.read("worker/sent") == bytes));
    CHECK(slave->is_connected());
  }
}

TEST_CASE("a caller who takes no data for long does not make the other side look dead, on either side") {
  std::vector<std::jthread> threads;  // one for each transport, as there is nothing to do but to wait
  for (const Over over : all_transports) {
    threads.emplace_back([over] {
      CAPTURE(to_string(over));
      Farm farm(over, {.keepalive = 50ms, .keepalive_patience = 2000ms});
      const auto slave = farm.start();
      const Event ended;
      slave->on_disconnect([ended] { ended.happened(); });
      std::size_t count = 0;
      bool is_first = true;
      // Its output fills all the credit that there is, and its input all that a pipe takes.
      const OutputCallback take = [&](BytesView piece) {
        count += piece.size();
        if (std::exchange(is_first, false)) CHECK_FALSE(ended.wait(2500ms));
      };
      CHECK_FALSE(thrown_by<Error>([&] {
        CHECK(slave->execute({"cat"}, {.in = Source::bytes(Bytes(8 * 1024 * 1024, 'x')), .out = take}).ok());
      }));
      CHECK(count == 8 * 1024 * 1024);
      CHECK(slave->is_connected());
    });
  }
}

TEST_CASE("a slave that is frozen is dropped, with an operation in progress too") {
  Farm farm(Over::local_process, {.keepalive = 100ms, .keepalive_patience = 2000ms, .kill_after = 50ms});
  const auto slave = farm.start();
  REQUIRE(stop_process(process_of(*slave)));
  const auto lost = thrown_by<ConnectionLost>([&] { slave->execute({"true"}); });
  REQUIRE(lost);
  CHECK(lost->operation() == "execute 'true'");
  CHECK_FALSE(slave->is_connected());
}

}  // namespace remsh::test
