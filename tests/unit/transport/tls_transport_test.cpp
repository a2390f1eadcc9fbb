// Tests of what is special to TLS among the transports; transport_test.cpp has what holds for all.
#include "transport/tls_transport.hpp"
#include "support/forwarding_transport.hpp"
#include "support/tls.hpp"
#include "support/transport_calls.hpp"
#include "transport/loop.hpp"
#include "unit/transport/recorder.hpp"
#include "unit/transport/transports.hpp"

#include <remsh/transport/descriptors.hpp>
#include <remsh/transport/memory.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace remsh;
using remsh::test::key_of;
using remsh::test::one_key;
using remsh::test::read_result;
using remsh::test::Recorder;
using remsh::test::settle;
using remsh::test::shake_hands;
using remsh::test::tls_over;
using remsh::test::write_to;
using Status = IoResult::Status;
using Step = TlsTransport::Step;

namespace {

constexpr const char* identity_of_slave = "w1:0a1b2c3d";

std::shared_ptr<const TlsContext> client_context(char key = 'k') {
  return *TlsContext::client(identity_of_slave, key_of(key));
}
std::shared_ptr<const TlsContext> server_context() {
  return *TlsContext::server(one_key(identity_of_slave, key_of('k')));
}

std::string read_all(Transport& transport, std::size_t count) {
  std::string all;
  std::array<char, 3000> buffer;
  while (all.size() < count) {
    const IoResult result = transport.read_some(buffer, Transport::slice);
    if (result.status == Status::end || result.status == Status::failed) break;
    all.append(buffer.data(), result.bytes);
  }
  return all;
}

/// Takes only what it is allowed to; else like the transport below.
class Throttle final : public test::ForwardingTransport {
 public:
  using ForwardingTransport::ForwardingTransport;
  IoResult write_some(std::span<const std::string_view> buffers) override {
    REQUIRE(buffers.size() == 1);
    const std::string_view some = buffers.front().substr(0, allowed);
    if (some.empty()) return IoResult::blocked();
    const IoResult result = inner().write_some({&some, 1});
    allowed -= result.bytes;
    return result;
  }
  Ready wait(Ready directions, Duration wait) override {
    asked = directions;
    return inner().wait(directions, wait);
  }
  void arm(Watcher& watcher, Ready directions, std::uint64_t token) override {
    asked = directions;
    inner().arm(watcher, directions, token);
  }
  [[nodiscard]] std::string description() const override { return "throttled"; }

  std::size_t allowed = SIZE_MAX / 2;
  Ready asked = Ready::none;  // of the last wait or arming
};

struct ThrottledPair {
  ThrottledPair() : ThrottledPair(TlsTuning()) {}
  explicit ThrottledPair(const TlsTuning& tuning) {
    auto [a, b] = memory_pair(1024 * 1024);
    auto throttled = std::make_unique<Throttle>(std::move(a));
    throttle = throttled.get();
    auto pair = tls_over(std::move(throttled), std::move(b), tuning);
    client = std::move(pair.first);
    server = std::move(pair.second);
  }
  Throttle* throttle = nullptr;
  std::unique_ptr<TlsTransport> client;
  std::unique_ptr<TlsTransport> server;
};

}  // namespace

TEST_CASE("the two ends of a TLS transport know each other, and share what binds a channel") {
  auto [a, b] = memory_pair();
  TlsTransport client(std::move(a), client_context());
  TlsTransport server(std::move(b), server_context());
  std::array<char, 8> buffer;
  CHECK(client.read_some(buffer, Duration::zero()).error == ENOTCONN);
  CHECK(write_to(server, "too early").error == ENOTCONN);
  CHECK(client.channel_binding().empty());
  CHECK(server.channel_binding().empty());
  shake_hands(client, server);
  CHECK(server.identity() == identity_of_slave);
  CHECK(client.channel_binding().size() == 32);
  CHECK(client.channel_binding() == server.channel_binding());
  CHECK(client.description() == "tls over memory");
  CHECK(client.is_inherited());
  CHECK_FALSE(client.failure());
}

TEST_CASE("a handshake is stepped without waiting, and says what it wants") {
  auto [a, b] = memory_pair();
  TlsTransport client(std::move(a), client_context());
  TlsTransport server(std::move(b), server_context());
  CHECK(*server.step() == Step::want_read);
  CHECK(*server.step() == Step::want_read);
  CHECK(*client.step() == Step::want_read);
  CHECK(*server.step() == Step::want_read);
  CHECK(*client.step() == Step::done);
  REQUIRE(write_to(client, "behind the handshake").status == Status::ok);
  CHECK(*server.step() == Step::done);
  CHECK(*server.step() == Step::done);
  CHECK(read_all(server, 20) == "behind the handshake");
}

TEST_CASE("a handshake gets through a transport that takes and gives little at a time") {
  auto [a, b] = memory_pair(7);
  TlsTransport client(std::move(a), client_context());
  TlsTransport server(std::move(b), server_context());
  bool wants_write = false;
  for (bool done = false; !done;) {
    const auto one = client.step();
    const auto other = server.step();
    REQUIRE((one.ok() && other.ok()));
    wants_write = wants_write || *one == Step::want_write;
    done = *one == Step::done && *other == Step::done;
  }
  CHECK(wants_write);
}

TEST_CASE("a handshake with a deadline: it succeeds, is late, is stopped, or fails with the reason") {
  auto [a, b] = test::tcp_pair();
  TlsTransport client(socket_transport(a.release(), "tcp"), client_context());
  auto peer = std::make_unique<TlsTransport>(socket_transport(b.release(), "tcp"), server_context());
  CHECK(client.handshake(no_wait).failure().code == Errc::timeout);
  std::stop_source stop;
  auto waiting = std::async(std::launch::async, [&] { return client.handshake(60s, stop.get_token()); });
  stop.request_stop();
  CHECK(waiting.get().failure().code == Errc::cancelled);
  auto server = std::async(std::launch::async, [&] { return peer->handshake(60s); });
  REQUIRE(client.handshake(60s).ok());
  REQUIRE(server.get().ok());

  auto [c, d] = test::tcp_pair();
  TlsTransport stranger(socket_transport(c.release(), "tcp"), client_context('x'));
  peer = std::make_unique<TlsTransport>(socket_transport(d.release(), "tcp"), server_context());
  server = std::async(std::launch::async, [&] { return peer->handshake(60s); });
  const auto refused = stranger.handshake(60s);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.failure().code == Errc::auth_failed);
  CHECK(server.get().failure().code == Errc::auth_failed);

  auto [e, f] = test::tcp_pair();
  TlsTransport left_alone(socket_transport(e.release(), "tcp"), client_context());
  f.reset();
  const auto left = left_alone.handshake(60s);
  REQUIRE_FALSE(left.ok());
  CHECK(left.failure().code == Errc::connection_lost);
}

TEST_CASE("to connect to an address of TLS is to shake hands, too") {
  const UniqueFd listening = std::move(*listen_tcp("127.0.0.1", 0, 8));
  const Address address{Address::Kind::tls, "127.0.0.1", local_port(listening.get()), {}};
  auto peer = std::async(std::launch::async, [&] {
    std::array<pollfd, 1> polled{pollfd{listening.get(), POLLIN, 0}};
    ::poll(polled.data(), polled.size(), 60000);
    auto server = std::make_unique<TlsTransport>(socket_transport(accept_one(listening.get()).socket.release(), "tcp"),
                                                 server_context());
    return server->handshake(60s).ok() ? std::move(server) : nullptr;
  });
  const auto client = connect_tls(address, client_context(), 60s);
  REQUIRE(client.ok());
  CHECK((*client)->description() == "tls over tcp 127.0.0.1:" + std::to_string(address.port));
  const auto server = peer.get();
  REQUIRE(server);
  CHECK(server->channel_binding() == (*client)->channel_binding());
  Failure late;
  for (const auto patience : {20ms, 1000ms, 10000ms}) {                 // it must be connected in time
    late = connect_tls(address, client_context(), patience).failure();  // in the queue of who does not accept
    CHECK(late.code == Errc::timeout);
    if (late.message.find("no connection in time") == std::string::npos) break;
  }
  CHECK(late.message.find(to_string(address) + ": no TLS handshake in time") == 0);
}

TEST_CASE("a handshake can be ended by a shutdown from another thread") {
  auto [a, b] = test::descriptor_pair();
  TlsTransport client(socket_transport(a.release(), "unix"), client_context());
  auto shaking = std::async(std::launch::async, [&] { return client.handshake(Deadline()); });
  client.shutdown();
  CHECK_FALSE(shaking.get().ok());
}

TEST_CASE("a stranger sends no more than a limit, however it cuts it") {
  for (const std::size_t part : {std::size_t{1}, std::size_t{5}, std::size_t{1000}}) {
    auto [a, b] = memory_pair(1024 * 1024);
    TlsTransport server(std::move(b), server_context(), 5000);
    // A record of handshake that never ends: a ClientHello of 64 KiB, in records of 100.
    std::string flood("\x16\x03\x01\x00\x64\x01\x01\x00\x00\x03\x03", 11);
    flood += std::string(94, 'r');
    while (flood.size() < 6000) flood += std::string("\x16\x03\x03\x00\x64", 5) + std::string(100, 'r');
    std::size_t sent = 0;
    auto step = server.step();
    while (step.ok() && sent < flood.size()) {
      sent += write_to(*a, std::string_view(flood).substr(sent, part)).bytes;
      step = server.step();
    }
    REQUIRE_FALSE(step.ok());
    CHECK(sent <= 5000 + part);
    CHECK(step.failure().code == Errc::protocol_error);
  }
}

TEST_CASE("the limit holds behind the handshake where a certificate proves only the server") {
  const test::Certificate certificate = test::make_certificate("DNS:farm.example");
  const TlsIdentity shown{certificate.certificate, certificate.key};
  for (const bool is_proven : {true, false}) {
    auto [a, b] = memory_pair(1024 * 1024);
    TlsTransport client(std::move(a), *TlsContext::client(TlsTrust{certificate.certificate, "farm.example"}));
    TlsTransport server(std::move(b), *TlsContext::server({}, &shown), 8000);
    shake_hands(client, server);
    if (is_proven) server.set_proven();
    REQUIRE(write_to(client, std::string(20000, 'x')).bytes == 20000);
    CHECK((read_all(server, 20000).size() == 20000) == is_proven);
    if (!is_proven) CHECK(read_result(server).status == Status::failed);
  }
}

TEST_CASE("a stream that is cut is broken, and one that is closed has ended") {
  for (const bool is_closed : {true, false}) {
    auto [a, b] = test::tcp_pair();
    const UniqueFd below(::fcntl(a.get(), F_DUPFD_CLOEXEC, 0));
    auto [client, server] = tls_over(socket_transport(a.release(), "tcp"), socket_transport(b.release(), "tcp"));
    REQUIRE(write_to(*client, "words").status == Status::ok);
    CHECK(read_all(*server, 5) == "words");
    if (is_closed) {
      client.reset();
    } else {
      ::shutdown(below.get(), SHUT_WR);
    }
    for (int i = 0; i < 2; ++i) {
      const IoResult result = read_result(*server);
      CHECK(result.status == (is_closed ? Status::end : Status::failed));
      CHECK(server->wait(Ready::read, 1h) == Ready::read);
    }
    CHECK(server->failure().has_value() == !is_closed);
    if (!is_closed) CHECK(server->failure()->message.find("cut") != std::string::npos);
  }
}

TEST_CASE("bytes that were changed on the way break the stream, and both sides see it") {
  auto [a, b] = test::descriptor_pair();
  const UniqueFd below(::fcntl(a.get(), F_DUPFD_CLOEXEC, 0));
  auto [client, server] = tls_over(socket_transport(a.release(), "unix"), socket_transport(b.release(), "unix"));
  const std::string_view forged("\x17\x03\x03\x00\x20 thirty-two bytes that nobody made", 37);
  REQUIRE(::send(below.get(), forged.data(), forged.size(), MSG_NOSIGNAL) == 37);
  const IoResult result = read_result(*server);
  CHECK(result.status == Status::failed);
  CHECK(result.error == EPROTO);
  CHECK(server->failure()->code == Errc::protocol_error);
  CHECK(server->failure_words().find("TLS failed (") != std::string::npos);
  CHECK(write_to(*server, "x").status == Status::failed);
  CHECK(read_result(*client).status == Status::failed);  // told by an alert
}

TEST_CASE("what is encrypted but not taken does not count with its last byte, and is not encrypted twice") {
  for (std::size_t allowed = 0; allowed < 80; ++allowed) {
    ThrottledPair pair;
    pair.throttle->allowed = allowed;
    std::string_view rest = "a box of forty bytes or so, partly sent.";
    IoResult result = write_to(*pair.client, rest);
    const bool all = allowed >= rest.size() + 22;
    CHECK(result.bytes == rest.size() - (all ? 0 : 1));
    rest.remove_prefix(result.bytes);
    if (!all) {
      CHECK(write_to(*pair.client, rest).status == Status::would_block);
      pair.throttle->allowed = 1;
      if (allowed + 1 < 40 + 22) CHECK(write_to(*pair.client, rest).status == Status::would_block);
      pair.throttle->allowed = 1000;
      result = write_to(*pair.client, rest);
      CHECK(result.bytes == 1);
    }
    pair.throttle->allowed = 1000;
    REQUIRE(write_to(*pair.client, "next").bytes == 4);
    CHECK(read_all(*pair.server, 44) == "a box of forty bytes or so, partly sent.next");
  }
}

TEST_CASE("nothing is in front of what was begun, where who writes keeps to whole boxes") {
  ThrottledPair pair;
  // The first chunk would end one byte inside the second box.
  constexpr std::size_t chunk = 65536;
  for (const std::size_t size : {chunk - 2, chunk - 1, chunk, chunk + 1}) {
    CAPTURE(size);
    const std::string first(size, '1');
    const std::string second = "second";
    pair.throttle->allowed = 10;
    const std::array<std::string_view, 2> both{first, second};
    const std::size_t taken = pair.client->write_some(both).bytes;
    REQUIRE(taken < size + second.size());
    // A box that is not begun may be overtaken.
    std::vector<std::string_view> views;
    std::string expected = first;
    if (taken < size) {
      views = {std::string_view(first).substr(taken), "control", second};
      expected += "controlsecond";
    } else if (taken == size) {
      views = {"control", second};
      expected += "controlsecond";
    } else {
      views = {std::string_view(second).substr(taken - size), "control"};
      expected += "secondcontrol";
    }
    pair.throttle->allowed = SIZE_MAX / 2;
    std::size_t rest = 0;
    for (const std::string_view view : views) rest += view.size();
    CHECK(pair.client->write_some(views).bytes == rest);
    CHECK((read_all(*pair.server, expected.size()) == expected));
  }
}

TEST_CASE("many small buffers share records, and large ones are cut") {
  auto [a, b] = memory_pair(1024 * 1024);
  auto [client, server] = tls_over(std::move(a), std::move(b));
  std::string expected;
  std::vector<std::string> boxes;
  for (std::size_t i = 0; i < 300; ++i) boxes.emplace_back(i * i % 40000, static_cast<char>('a' + i % 26));
  for (std::size_t i = 0; i < boxes.size();) {
    std::vector<std::string_view> views;
    std::size_t total = 0;
    for (; i < boxes.size() && total + boxes[i].size() < 500000; ++i) {
      views.emplace_back(boxes[i]);
      expected += boxes[i];
      total += boxes[i].size();
    }
    CHECK(client->write_some(views).bytes == total);
    CHECK((read_all(*server, total) == expected));
    expected.clear();
  }
}

TEST_CASE("plaintext that found no room is told of at once, though nothing more comes") {
  auto [a, b] = test::descriptor_pair();
  auto [client, server] = tls_over(socket_transport(a.release(), "unix"), socket_transport(b.release(), "unix"));
  const auto loop = Loop::start();
  const auto recorder = std::make_shared<Recorder>();
  const auto slot = loop->add(recorder);
  REQUIRE(write_to(*client, std::string(50000, 'x')).bytes == 50000);
  std::array<char, 7000> buffer;
  std::uint32_t number = 0;
  for (std::size_t got = 0; got < 50000;) {
    CHECK(server->wait(Ready::read, 1h) == Ready::read);
    CHECK(server->wait(Ready::both, 1h) != Ready::none);
    server->arm(loop->watcher(), Ready::read, Loop::token(slot, ++number));
    recorder->wait_for(number);
    CHECK(recorder->event(number - 1) == std::pair(number, Ready::read));
    const IoResult result = server->read_some(buffer, Duration::zero());
    got += result.bytes;
  }
  CHECK(server->wait(Ready::read, Duration::zero()) == Ready::none);
  server->arm(loop->watcher(), Ready::read, Loop::token(slot, ++number));
  settle(*loop);
  CHECK(recorder->count() == number - 1);
  server->disarm_for_good(loop->watcher());
}

TEST_CASE("the end that came with the last bytes is told of, also by who is armed") {
  auto [a, b] = test::descriptor_pair();
  auto [client, server] = tls_over(socket_transport(a.release(), "unix"), socket_transport(b.release(), "unix"));
  REQUIRE(write_to(*client, "bye").bytes == 3);
  client->shutdown();
  const auto loop = Loop::start();
  const auto recorder = std::make_shared<Recorder>();
  const auto slot = loop->add(recorder);
  CHECK(read_all(*server, 3) == "bye");
  for (std::uint32_t number = 1; number < 4; ++number) {
    server->arm(loop->watcher(), Ready::both, Loop::token(slot, number));
    recorder->wait_for(number);
    CHECK(has(recorder->event(number - 1).second, Ready::read));
    CHECK(read_result(*server).status == Status::end);
  }
  server->disarm_for_good(loop->watcher());
}

TEST_CASE("ciphertext that was not taken goes out with the next read, wait or event") {
  TlsTuning tuning;
  tuning.records_per_key = 2;
  for (const int how : {0, 1, 2}) {
    CAPTURE(how);
    // The server never writes; the client asks it for new keys, and cannot send that.
    auto [a, b] = memory_pair(1024 * 1024);
    auto throttled = std::make_unique<Throttle>(std::move(a));
    Throttle& throttle = *throttled;
    TlsTransport client(std::move(throttled), *TlsContext::client(identity_of_slave, key_of('k'), tuning));
    TlsTransport server(std::move(b), server_context());
    shake_hands(client, server);
    throttle.allowed = 0;
    for (int i = 0; i < 5; ++i) {
      REQUIRE(write_to(server, "x").bytes == 1);
      CHECK(read_all(client, 1) == "x");
    }
    std::array<char, 8> buffer;
    CHECK(write_to(client, "not yet").status == Status::would_block);
    CHECK(client.wait(Ready::read, Duration::zero()) == Ready::none);
    CHECK(throttle.asked == Ready::both);
    const auto loop = Loop::start();
    const auto recorder = std::make_shared<Recorder>();
    const auto slot = loop->add(recorder);
    throttle.allowed = 1000;
    switch (how) {
      case 0: CHECK(client.read_some(buffer, Duration::zero()).status == Status::would_block); break;
      case 1: CHECK(client.wait(Ready::read, Duration::zero()) == Ready::none); break;
      default:
        client.arm(loop->watcher(), Ready::read, Loop::token(slot, 1));
        CHECK(throttle.asked == Ready::both);
        recorder->wait_for(1);
        CHECK(client.read_some(buffer, Duration::zero()).status == Status::would_block);
    }
    CHECK(throttle.allowed < 1000);
    CHECK(server.read_some(buffer, Duration::zero()).status == Status::would_block);
    REQUIRE(write_to(client, "now").bytes == 3);
    REQUIRE(write_to(server, "answer").bytes == 6);
    CHECK(read_all(server, 3) == "now");
    CHECK(read_all(client, 6) == "answer");
    client.disarm_for_good(loop->watcher());
  }
}

TEST_CASE("keys are replaced under load in both directions") {
  TlsTuning tuning;
  tuning.records_per_key = 5;
  auto [a, b] = test::descriptor_pair();
  auto [client, server] =
      tls_over(socket_transport(a.release(), "unix"), socket_transport(b.release(), "unix"), tuning);
  const std::string text(3 * 1024 * 1024, 't');
  const auto send = [&](TlsTransport& end) {
    std::string_view rest = text;
    while (!rest.empty()) {
      const IoResult result = write_to(end, rest.substr(0, 20000));
      if (result.status == Status::failed) return false;
      rest.remove_prefix(result.bytes);
      if (result.status == Status::would_block) end.wait(Ready::write, Transport::slice);
    }
    return true;
  };
  std::vector<std::future<bool>> done;
  for (TlsTransport* end : {client.get(), server.get()}) {
    done.push_back(std::async(std::launch::async, [&, end] { return send(*end); }));
    done.push_back(std::async(std::launch::async, [&, end] { return read_all(*end, text.size()) == text; }));
  }
  for (auto& each : done) CHECK(each.get());
}

TEST_CASE("writing goes on while a reader waits") {
  auto [a, b] = test::descriptor_pair();
  auto [client, server] = tls_over(socket_transport(a.release(), "unix"), socket_transport(b.release(), "unix"));
  std::promise<void> begun;
  auto reader = std::async(std::launch::async, [&, &end = *client] {
    begun.set_value();
    return read_result(end);
  });
  begun.get_future().get();
  for (int i = 0; i < 100; ++i) REQUIRE(write_to(*client, "x").status == Status::ok);
  CHECK(read_all(*server, 100).size() == 100);
  REQUIRE(write_to(*server, "y").status == Status::ok);
  CHECK(reader.get().status == Status::ok);
}
