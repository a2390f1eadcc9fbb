// What peers cost that connect and go no further: memory in all (G10), and nobody's place (G15).
//
// REMSH_HOSTILE_PEERS=10000 has so many of them, as far as there are descriptors, and then looks at the time.
#include "auth/derive.hpp"
#include "hostile/prey.hpp"
#include "hostile/wire.hpp"
#include "support/memory_in_use.hpp"
#include "support/stress.hpp"

#include <algorithm>
#include <list>
#include <vector>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

/// Keys, and a certificate, so that everybody gets as far as TLS lets him.
struct TlsPrey {
  explicit TlsPrey(std::size_t most = 256)
      : prey({.address = "tls:127.0.0.1:0",
              .keys = ring,
              .certificate = TlsIdentity{certificate.certificate, certificate.key},
              .keyless = false,
              .max_handshakes = most}) {}
  KeyRing ring;
  const Certificate certificate = make_certificate("IP:127.0.0.1");
  const Secret key = make_key();
  const KeyRegistration registered = ring.register_slave("w1", key);
  Prey prey;
};

/// What a client says first.
Bytes client_hello(const Result<std::shared_ptr<const TlsContext>>& context) {
  TlsEngine engine(*context);
  BytesView nothing;
  engine.handshake(nothing);
  return Bytes(engine.output());
}

#ifdef REMSH_CAN_COUNT
Bytes number(std::size_t value, int bytes) {
  Bytes text;
  while (bytes-- > 0) text += static_cast<char>(value >> (8 * bytes));
  return text;
}

/// A record of TLS, of which less may be there than it says.
Bytes record(BytesView content, std::size_t said = 0) {
  return "\x16\x03\x01" + number(said > 0 ? said : content.size(), 2) + Bytes(content);
}

/// The same greeting without its share of a secret, for which the server then asks.
Bytes without_share(Bytes hello) {
  const Bytes share("\0\x33\0\x26\0\x24\0\x1d\0\x20", 10);
  constexpr std::size_t size = 36;  // of the one share in the list
  const std::size_t at = hello.find(share);
  REQUIRE(at != Bytes::npos);
  const auto byte = [&](std::size_t i) { return std::size_t{static_cast<unsigned char>(hello[i])}; };
  std::size_t extensions = 5 + 4 + 2 + 32;                          // headers, version, random bytes
  extensions += 1 + byte(extensions);                               // session
  extensions += 2 + byte(extensions) * 256 + byte(extensions + 1);  // suites
  extensions += 1 + byte(extensions);                               // compression
  for (const std::size_t length : {std::size_t{3}, std::size_t{7}, extensions, at + 2, at + 4}) {
    hello.replace(length, 2, number(byte(length) * 256 + byte(length + 1) - size, 2));
  }
  return hello.erase(at + 6, size);
}

/// Waits until the memory in use has been the same for a while.
void settle() {
  std::size_t last = 0;
  for (int same = 0; same < 30;) {
    ::poll(nullptr, 0, 10);
    same = bytes_in_use() == last ? same + 1 : 0;
    last = bytes_in_use();
  }
}
#endif

}  // namespace

#ifdef REMSH_CAN_COUNT
TEST_CASE("G10: peers that stop in the middle of TLS cost 16 MiB, as many as may be there together") {
  constexpr std::size_t most = 256;
  TlsPrey tls;
  const auto by_name = TlsContext::client({.ca = tls.certificate.certificate, .server_name = "127.0.0.1"});
  const Bytes by_key = client_hello(TlsContext::client("w1:" + auth::kid(tls.key), auth::derive(tls.key, "tls")));
  const Bytes by_certificate = client_hello(by_name);
  const Bytes again = without_share(by_certificate);
  const Bytes much(16'384, '\0');
  const auto up_to_limit = [](Bytes bytes) { return bytes.substr(0, TlsTransport::default_unproven_bytes - 1); };
  struct Way {
    std::string words;
    Bytes bytes;
    bool is_breach = false;  // and costs the connection
  };
  const std::vector<Way> ways{
      {"nothing", {}},
      {"one byte", "\x16"},
      {"a part of a message, in a record of its own", record("\1" + number(2000, 3) + much.substr(0, 1000))},
      {"such parts, of a byte each",
       [] {
         Bytes parts = record("\1") + record(Bytes(2, '\0')) + record("\xff");
         for (int i = 0; i < 200; ++i) parts += record("x");
         return parts;
       }()},
      {"most of a record", up_to_limit(record("\1" + number(16'000, 3) + much.substr(0, 16'300), 16'384))},
      {"most of a record, that begins a long message",
       up_to_limit(record("\1" + number(131'000, 3) + much.substr(0, 16'300), 16'384))},
      {"the beginning of a long message", record("\1" + number(131'000, 3)), true},
      {"a greeting by key", by_key},
      {"a greeting by certificate", by_certificate},
      {"a greeting, and most of a record", up_to_limit(by_key + record(much, 16'384))},
      {"a greeting that is answered with a question", again},
      {"such a greeting, and then most of a record", up_to_limit(again + record("\1" + number(14'000, 3) + much))},
      {"such a greeting, and then the beginning of a long message", again + record("\1" + number(131'000, 3)), true}};
  const auto have_sent = [&](const Way& way) {
    std::list<EvilSlave> evils;
    for (std::size_t i = 0; i < most; ++i) evils.emplace_back(tls.prey.port()).send(way.bytes);
    settle();
    return evils;
  };
  have_sent(ways[7]);  // threads, tables and caches are there by now
  for (const Way& way : ways) {
    CAPTURE(way.words);
    settle();
    const std::size_t before = bytes_in_use();
    const std::list<EvilSlave> evils = have_sent(way);
    const auto closed = [&evils] {
      return std::count_if(evils.begin(), evils.end(), [](const auto& evil) { return evil.was_closed(); });
    };
    const auto expected = way.is_breach ? static_cast<std::ptrdiff_t>(most) : 0;
    CHECK(eventually([&] { return closed() >= expected; }));
    const std::size_t after = bytes_in_use();
    MESSAGE("bytes of ", most, " peers that have sent ", way.words, ": ", after > before ? after - before : 0);
    CHECK(after < before + 16 * 1024 * 1024);
    CHECK(closed() == expected);
  }
  CHECK(tls.prey.is_unharmed());
}

TEST_CASE("G10: so do those that have got through TLS without a key") {
  constexpr std::size_t most = 256;
  TlsPrey tls;
  const auto by_name = TlsContext::client({.ca = tls.certificate.certificate, .server_name = "127.0.0.1"});
  struct Stranger {  // whose own part of TLS is gone, so that it is not counted
    Stranger(std::uint16_t port, const std::shared_ptr<const TlsContext>& context, BytesView hello) : socket(port) {
      TlsEngine engine(context);
      BytesView came;
      Bytes bytes;
      while (engine.handshake(came) == TlsEngine::Status::want_input) {
        socket.send(engine.output());
        engine.sent(engine.output().size());
        bytes = socket.read_bytes();
        REQUIRE_FALSE(bytes.empty());
        came = bytes;
      }
      Bytes said = Bytes(engine.output());
      engine.sent(said.size());
      REQUIRE(engine.write(hello));
      said += engine.output();
      socket.send(said + "\x17\x03\x03" + number(16'000, 2) + Bytes(15'000 - said.size(), 'x'));
    }
    EvilSlave socket;
  };
  const Bytes hello = Talk("w1", tls.key).hello();
  std::list<Stranger> strangers;
  strangers.emplace_back(tls.prey.port(), *by_name, hello);
  settle();
  const std::size_t before = bytes_in_use();
  while (strangers.size() < most) strangers.emplace_back(tls.prey.port(), *by_name, hello);
  settle();
  const std::size_t after = bytes_in_use();
  MESSAGE("bytes of ", most, " of them: ", after > before ? after - before : 0);
  CHECK(after < before + 16 * 1024 * 1024);
  CHECK(tls.prey.log_text().find("not let in") == std::string::npos);
  CHECK(tls.prey.is_unharmed());
}
#endif

TEST_CASE("G15: thousands of peers that stop in the middle do not keep an honest slave out") {
  const auto wanted = static_cast<std::size_t>(std::stoul(setting("REMSH_HOSTILE_PEERS", "2000")));
  constexpr std::size_t others = 1000;  // descriptors for all else
  const std::size_t count = make_room(wanted + others) - others;
  TlsPrey tls;
  Prey plain;
  const Bytes greeting = client_hello(TlsContext::client("w1:" + auth::kid(tls.key), auth::derive(tls.key, "tls")));
  for (Prey* const prey : {&plain, &tls.prey}) {
    const bool is_tls = prey != &plain;
    CAPTURE(is_tls);
    const Bytes hello = is_tls ? greeting : encode(EvilSlave::hello("evil"));
    std::list<EvilSlave> evils;
    for (std::size_t i = 0; i < count; ++i) {
      const std::string from =
          "127." + std::to_string(i % 8) + "." + std::to_string(i / 8 % 250) + "." + std::to_string(1 + i / 2000);
      const std::array<Bytes, 4> said{"", hello, hello.substr(0, 1), hello.substr(0, hello.size() - 1)};
      evils.emplace_back(prey->port(), from).send(said[i % said.size()]);
    }
    const auto before = std::chrono::steady_clock::now();
    const SlaveThread second({.name = "w1",
                              .basedir = prey->dir / "w1",
                              .key = is_tls ? std::optional(tls.key) : std::nullopt,
                              .keyless = !is_tls,
                              .back_off_min = 1ms,
                              .back_off_max = 50ms},
                             [prey](SlaveServer& server) { return server.run(prey->listener.address()); });
    const auto slave = prey->find("w1");
    const auto took = std::chrono::steady_clock::now() - before;
    MESSAGE("beside ", count,
            " peers an honest slave took ms: ", std::chrono::duration_cast<std::chrono::milliseconds>(took).count());
    CHECK(took < (wanted > 2000 ? 2s : 20s));  // it needs milliseconds; the latter is for busy machines
    CHECK(slave->call("echo", {{"word", "here"}}).get("word") == "here");
    CHECK(prey->is_unharmed());
  }
}

}  // namespace remsh::test
