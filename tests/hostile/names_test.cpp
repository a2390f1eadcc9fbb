// One name at two listeners of a collection: each way in against each other one. docs/decisions/0019 has the rule.
#include "auth/derive.hpp"
#include "hostile/prey.hpp"
#include "hostile/wire.hpp"

#include <remsh/master/local_slave_listener.hpp>
#include <remsh/master/transport_slave_listener.hpp>
#include <remsh/master/unix_slave_listener.hpp>

#include <array>
#include <string_view>
#include <vector>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

/// How a slave comes in: at which kind of listener, and with what proof.
enum class Way {
  tcp_keyless,
  tcp_original,    // of the original remsh, which has no keys
  unix_keyless,    // at a listener that has no keys
  unix_keyless_2,  // at one that has
  descriptor,      // inherited, at a listener of the user's own
  tcp_key,
  unix_key,
  tls_key,        // by the pre-shared key of TLS
  tls_enrolled,   // the same, by a key that it got for an invitation
  tcp_other_key,  // another key of the same name, at a listener with keys of its own
  started,        // by a LocalSlaveListener, under this name
};
constexpr std::array all_ways{Way::tcp_keyless,  Way::tcp_original,  Way::unix_keyless, Way::unix_keyless_2,
                              Way::descriptor,   Way::tcp_key,       Way::unix_key,     Way::tls_key,
                              Way::tls_enrolled, Way::tcp_other_key, Way::started};

bool has_key(Way way) { return way >= Way::tcp_key && way <= Way::tcp_other_key; }

/// A collection with a listener of every kind.
class Place {
 public:
  explicit Place(std::chrono::milliseconds arbitration) : patience(arbitration) {
    keyless.start();
    by_path.start();
    by_path_2.start();
    keyed.start();
    by_tls.start();
    other_keyed.start();
  }
  ~Place() { processes.clear(); }

  /// Adds the key by which a slave of this name comes this way.
  void add_key(Way way, const std::string& name) {
    KeyRing& of = way == Way::tcp_other_key ? other_ring : ring;
    if (way == Way::tls_enrolled) {
      const Secret token = make_key();
      registrations.push_back(
          of.register_slave(name, token, {.expires = std::chrono::system_clock::now() + 1h, .is_invitation = true}));
      key = enrol(name, token);
    } else if (has_key(way)) {
      key = make_key();
      registrations.push_back(of.register_slave(name, *key));
    }
  }

  /// Comes by one way and does not answer a ping; false where it is refused.
  bool come_mute(Way way, const std::string& name) {
    if (way == Way::started) {
      if (!start(name)) return false;
      stop_process(process_of(*slaves.find(name)));
      return true;
    }
    auto transport = connect(way, name);
    if (!transport) return false;
    wires.emplace_back(std::move(transport));
    Wire& wire = wires.back();
    if (way == Way::tcp_original) {
      wire.send(Box{{"hostname", name}, {"type", "register"}, {"version", "1"}});
      const Bytes answer = wire.read_box();
      return !answer.empty() && box_of(answer).has("type");
    }
    Talk talk(name, has_key(way) ? key : std::nullopt, wire.binding());
    wire.send(talk.hello());
    const Bytes challenge = wire.read_box();
    if (challenge.empty()) return false;
    wire.send(talk.prove(challenge));
    const Bytes welcome = wire.read_box();
    return !welcome.empty() && talk.is_open(welcome);
  }

  /// Comes by one way as a slave that answers.
  void come_alive(Way way, const std::string& name) {
    if (way == Way::started) {
      REQUIRE(start(name));
      return;
    }
    SlaveOptions options{.name = name, .basedir = dir / name, .keyless = !has_key(way)};
    if (has_key(way)) options.key = key;
    if (way == Way::tcp_original) options.protocol = 1;
    if (way == Way::descriptor) {
      auto [ours, theirs] = socket_pair();
      living.emplace_back(std::move(options), [end = std::make_shared<std::unique_ptr<Transport>>(std::move(theirs))](
                                                  SlaveServer& server) { return server.serve(std::move(*end)); });
      by_hand.handle_new_connection(std::move(ours));
      return;
    }
    living.emplace_back(std::move(options),
                        [address = address_of(way)](SlaveServer& server) { return server.run_once(address); });
  }

  /// The slave of a name when it is in.
  std::shared_ptr<Slave> find(const std::string& name) {
    return slaves.get_slave(ample, [&name](const Slave& one) { return one.name() == name; });
  }

  /// Lets all go that have come.
  void clear() {
    registrations.clear();
    wires.clear();
    living.clear();
    for (const auto& slave : slaves.get_all_slaves()) slave->disconnect();
    REQUIRE(eventually([this] { return slaves.size() == 0; }));
    processes.clear();
    descriptors.clear();
  }

  Log log;
  TempDir dir;
  SlaveCollection slaves;
  KeyRing ring;
  KeyRing other_ring;

 private:
  const std::chrono::milliseconds patience;  // with a holder that is asked whether it is there

  static std::pair<std::unique_ptr<Transport>, std::unique_ptr<Transport>> socket_pair() {
    std::array<int, 2> pair{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0);
    return {socket_transport(pair[0], "a slave", true), socket_transport(pair[1], "a master", true)};
  }

  [[nodiscard]] std::string address_of(Way way) const {
    switch (way) {
      case Way::tcp_keyless:
      case Way::tcp_original: return keyless.address();
      case Way::unix_keyless: return by_path.address();
      case Way::unix_keyless_2:
      case Way::unix_key: return by_path_2.address();
      case Way::tcp_key: return keyed.address();
      case Way::tls_key:
      case Way::tls_enrolled: return by_tls.address();
      case Way::tcp_other_key: return other_keyed.address();
      case Way::descriptor:
      case Way::started: break;
    }
    return {};
  }

  std::unique_ptr<Transport> connect(Way way, const std::string& name) {
    if (way == Way::descriptor) {
      auto [ours, theirs] = socket_pair();
      descriptors.push_back(std::async(std::launch::async, [this, end = std::move(ours)]() mutable {
        try {
          by_hand.handle_new_connection(std::move(end));
        } catch (const Error&) {  // it is refused, which the other end sees
        }
      }));
      return std::move(theirs);
    }
    const auto address = parse_address(address_of(way));
    if (address->kind == Address::Kind::tls) return knock_by_tls(name, *key);
    auto socket = connect_to(*address, ample);
    return std::make_unique<SocketTransport>(std::move(*socket), "a master", false);
  }

  std::unique_ptr<Transport> knock_by_tls(const std::string& name, const Secret& by) {
    return tls_to(by_tls.port(), TlsContext::client(name + ":" + auth::kid(by), auth::derive(by, "tls")));
  }

  Secret enrol(const std::string& name, const Secret& token) {
    Wire wire(knock_by_tls(name, token));
    auth::SlaveHandshake handshake({.registration = {.name = name},
                                    .nonce = random_nonce(),
                                    .key = token,
                                    .binding = wire.binding(),
                                    .enrols = true});
    wire.send(handshake.start());
    wire.send(handshake.feed(wire.read_box()).bytes);
    const auto step = handshake.feed(wire.read_box());
    REQUIRE(step.new_key);
    return *step.new_key;
  }

  bool start(const std::string& name) {
    try {
      processes.push_back(std::make_unique<LocalSlaveListener>(LocalListenerOptions{
          .slave_collection = slaves, .embedded = true, .arbitration_timeout = patience, .kill_after = 10ms}));
      processes.back()->start_slave(dir / name, name);
      return true;
    } catch (const Error& error) {
      CHECK(error.code() == Errc::in_use);
      return false;
    }
  }

 public:
  TcpSlaveListener keyless{{.slave_collection = slaves,
                            .keyless = true,
                            .protocols = {SlaveProtocol::remsh2(), SlaveProtocol::remsh1()},
                            .arbitration_timeout = patience,
                            .log = log.hook()}};
  UnixSlaveListener by_path{{.slave_collection = slaves, .path = dir / "1", .arbitration_timeout = patience}};
  UnixSlaveListener by_path_2{
      {.slave_collection = slaves, .keys = ring, .path = dir / "2", .arbitration_timeout = patience}};
  TransportSlaveListener by_hand{{.slave_collection = slaves, .arbitration_timeout = patience}};
  TcpSlaveListener keyed{
      {.slave_collection = slaves, .address = "tcp:127.0.0.1:0", .keys = ring, .arbitration_timeout = patience}};
  TcpSlaveListener by_tls{
      {.slave_collection = slaves, .address = "tls:127.0.0.1:0", .keys = ring, .arbitration_timeout = patience}};
  TcpSlaveListener other_keyed{
      {.slave_collection = slaves, .address = "tcp:127.0.0.1:0", .keys = other_ring, .arbitration_timeout = patience}};
  std::vector<std::unique_ptr<LocalSlaveListener>> processes;
  std::vector<std::future<void>> descriptors;

 private:
  std::optional<Secret> key;  // of who comes next
  std::vector<KeyRegistration> registrations;
  std::list<Wire> wires;
  std::list<SlaveThread> living;
};

// What happens to a newcomer (column), in the order of `all_ways`, when a slave that came by another way (row) has the
// name.
//   a  the holder is asked: it keeps the name if it answers, and loses it if not
//   t  the newcomer is refused, and the holder is not asked
//   k  the newcomer is refused, since the name has a key
//   r  the holder has left when the newcomer comes: the name has a key since, and it has proven none
constexpr std::array<std::string_view, all_ways.size()> expected_letters{
    "aaaaarrrrra",  // tcp_keyless
    "aaaaarrrrra",  // tcp_original
    "aaaaarrrrra",  // unix_keyless
    "aaaaarrrrra",  // unix_keyless_2
    "aaaaarrrrra",  // descriptor
    "kkkkkaaaaaa",  // tcp_key
    "kkkkkaaaaaa",  // unix_key
    "kkkkkaaaaaa",  // tls_key
    "kkkkkaaaaaa",  // tls_enrolled
    "kkkkkaaaaaa",  // tcp_other_key
    "tttttaaaaaa",  // started
};

}  // namespace

TEST_CASE(
    "a name at two listeners: each way in against each other one, with a holder that answers and one that does not") {
  Place patient(60s);
  Place hasty(50ms);
  int number = 0;
  for (std::size_t row = 0; row < all_ways.size(); ++row) {
    for (std::size_t column = 0; column < all_ways.size(); ++column) {
      for (const bool is_alive : {true, false}) {
        CAPTURE(row);
        CAPTURE(column);
        CAPTURE(is_alive);
        Place& place = is_alive ? patient : hasty;  // so that no busy machine counts a living holder as gone
        const char what = expected_letters[row][column];
        const std::string name = "w" + std::to_string(++number);
        place.add_key(all_ways[row], name);
        if (is_alive) {
          place.come_alive(all_ways[row], name);
        } else {
          REQUIRE(place.come_mute(all_ways[row], name));
        }
        const auto holder = place.find(name);
        REQUIRE(holder);
        place.add_key(all_ways[column], name);
        if (what == 'r') CHECK(eventually([&] { return !holder->is_connected(); }));
        const bool comes_in = place.come_mute(all_ways[column], name);
        CHECK(comes_in == (what == 'r' || (what == 'a' && !is_alive)));
        CHECK(holder->is_connected() == !comes_in);
        if (comes_in) {
          CHECK(eventually([&] { return place.slaves.find(name) != nullptr && place.slaves.find(name) != holder; }));
        } else {
          CHECK(place.slaves.find(name) == holder);
        }
        place.clear();
      }
    }
  }
}

TEST_CASE("a slave that has proven nothing is disconnected when a key of its name appears, and stays out") {
  Place place(50ms);
  REQUIRE(place.come_mute(Way::unix_keyless, "w1"));
  REQUIRE(place.come_mute(Way::unix_keyless, "w2"));
  const auto slave = place.find("w1");
  const auto other = place.find("w2");
  auto key = place.other_ring.register_slave("w1", make_key());  // of a listener over TCP
  REQUIRE(eventually([&] { return !slave->is_connected(); }));
  CHECK(slave->lost_reason() == "its name has a key now, which it has not proven");
  CHECK(other->is_connected());
  CHECK_FALSE(place.come_mute(Way::unix_keyless, "w1"));
  key.update({.expires = std::chrono::system_clock::now() - 1h});
  CHECK_FALSE(place.come_mute(Way::tcp_original, "w1"));
  key.drop();
  CHECK(place.come_mute(Way::unix_keyless, "w1"));
}

TEST_CASE("a listener that comes with keys ends the slaves of their names that have proven none") {
  SlaveCollection slaves;
  TempDir dir;
  UnixSlaveListener by_path({.slave_collection = slaves, .path = dir / "socket"});
  by_path.start();
  SlaveThread slave({.name = "w1", .basedir = dir / "w1"},
                    [&](SlaveServer& server) { return server.run_once(by_path.address()); });
  const auto handle = slaves.get_slave(ample);
  REQUIRE(handle);
  KeyRing ring;
  const auto key = ring.register_slave("w1", make_key());
  const TcpSlaveListener keyed({.slave_collection = slaves, .keys = ring});
  CHECK(eventually([&] { return !handle->is_connected(); }));
}

TEST_CASE("an original slave gets no name behind TLS that has proven another one") {
  SlaveCollection slaves;
  KeyRing ring;
  const Secret key = make_key();
  const auto w1 = ring.register_slave("w1", key);
  Log log;
  TcpSlaveListener listener({.slave_collection = slaves,
                             .address = "tls:127.0.0.1:0",
                             .keys = ring,
                             .keyless = true,
                             .protocols = {SlaveProtocol::remsh2(), SlaveProtocol::remsh1()},
                             .log = log.hook()});
  listener.start();
  Wire wire(tls_to(listener.port(), TlsContext::client("w1:" + auth::kid(key), auth::derive(key, "tls"))));
  wire.send(Box{{"hostname", "database"}, {"type", "register"}, {"version", "1"}});
  CHECK(wire.read_to_end() == Bytes(1, '\0'));
  CHECK(log.wait_for("TLS has proven 'w1:" + auth::kid(key) + "'"));
  CHECK(slaves.size() == 0);
}

TEST_CASE("an original slave is refused at a listener of the user's own that takes no slaves without keys") {
  SlaveCollection slaves;
  TransportSlaveListener by_hand(
      {.slave_collection = slaves, .protocols = {SlaveProtocol::remsh2(), SlaveProtocol::remsh1()}});
  std::array<int, 2> pair{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0);
  Wire wire(socket_transport(pair[1], "a master"));
  wire.send(Box{{"hostname", "w1"}, {"type", "register"}, {"version", "1"}});
  CHECK_THROWS_AS(by_hand.handle_new_connection(socket_transport(pair[0], "a slave")), AuthError);
}

}  // namespace remsh::test
