// A third protocol, small and from end to end: what a new one has to bring, and what it gets for it.
#include "master/worker_protocol.hpp"

#include "auth/derive.hpp"
#include "master/blocking_backend.hpp"
#include "support/ample.hpp"
#include "support/keys.hpp"
#include "transport/address.hpp"
#include "transport/connect.hpp"
#include "transport/fd_transport.hpp"
#include "transport/tls_engine.hpp"
#include "transport/tls_transport.hpp"

#include <doctest/doctest.h>
#include <remsh/base/error.hpp>
#include <remsh/master/slave_collection.hpp>
#include <remsh/master/tcp_slave_listener.hpp>
#include <remsh/master/transport_slave_listener.hpp>
#include <remsh/transport/descriptors.hpp>
#include <remsh/transport/memory.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh {
namespace {

using namespace std::chrono_literals;
using remsh::test::ample;
using remsh::test::key_of;

/// Reads and writes lines on a transport. Blocks.
class LineTransport {
 public:
  explicit LineTransport(std::unique_ptr<Transport> transport) : transport_(std::move(transport)) {}

  void send(const std::string& line) {
    const Bytes bytes = line + "\n";
    std::string_view rest = bytes;
    while (!rest.empty()) {
      const IoResult result = transport_->write_some({&rest, 1});
      if (result.status == IoResult::Status::failed) return;
      rest.remove_prefix(result.bytes);
    }
  }

  /// The next line; nullopt at the end.
  std::optional<std::string> next() {
    for (;;) {
      if (const auto end = came_.find('\n'); end != Bytes::npos) {
        std::string line = came_.substr(0, end);
        came_.erase(0, end + 1);
        return line;
      }
      std::array<char, 4096> buffer{};
      const IoResult result = transport_->read_some(buffer, Transport::slice);
      if (result.status == IoResult::Status::ok) came_.append(buffer.data(), result.bytes);
      if (result.status == IoResult::Status::end || result.status == IoResult::Status::failed) return std::nullopt;
    }
  }

  [[nodiscard]] Transport& transport() const noexcept { return *transport_; }

 private:
  const std::unique_ptr<Transport> transport_;
  Bytes came_;
};

// --- the protocol: "HELLO name", answered by "WELCOME" or "NO why"; then "STAT path", answered by "FILE" or "NONE"

class LineBackend final : public BlockingBackend<AdmittedBackend>, public std::enable_shared_from_this<LineBackend> {
 public:
  explicit LineBackend(std::shared_ptr<const WorkerHost> host) : host_(std::move(host)) {}
  ~LineBackend() override { tell_lost(); }

  void open(std::unique_ptr<Transport> transport) override {
    const std::lock_guard lock(mutex_);
    lines_.emplace(std::move(transport));
    if (end_) post_end();
  }
  void fail(Failure failure) override {
    {
      const std::lock_guard lock(mutex_);
      end_ = std::move(failure);
    }
    tell_lost();
  }
  void wait_until_left() override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_told_; });
    lock.unlock();
    const std::lock_guard turn(turn_);
  }
  void end_connection(Failure why) override {
    const std::lock_guard lock(mutex_);
    if (end_) return;
    end_ = std::move(why);
    if (!lines_) return;
    lines_->transport().shutdown();
    post_end();
  }
  [[nodiscard]] std::optional<Failure> lost() const override {
    const std::lock_guard lock(mutex_);
    return end_;
  }

  Result<void> run(AskedOperation& operation, const StreamEnds& /*ends*/, const Patience& /*options*/) override {
    if (operation.what().name != operations::Stat::what.name) {
      return no_such_operation("lines", operation.what().name);
    }
    auto& asked = static_cast<Asked<operations::Stat>&>(operation);
    const std::lock_guard turn(turn_);
    if (const auto why = lost()) return *why;
    lines_->send("STAT " + asked.request.path);
    const auto answer = lines_->next();
    if (!answer) end_connection({Errc::connection_lost, "the worker went", 0, DisconnectReason::cut});
    if (const auto why = lost()) return *why;
    if (answer == "FILE") asked.reply.info.emplace();
    return {};
  }

 private:
  void over(OperationsEnds ends) noexcept override { ends.note(); }
  [[nodiscard]] const Owner& owner() const noexcept override { return host_->owner; }

  void post_end() {
    host_->loop->post([self = shared_from_this()] {
      self->owner().on_end(*self, *self->lost());
      self->tell_lost();
      const std::lock_guard lock(self->mutex_);
      self->is_told_ = true;
      self->changed_.notify_all();
    });
  }

  const std::shared_ptr<const WorkerHost> host_;
  std::mutex turn_;  // one operation at a time
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<LineTransport> lines_;
  std::optional<Failure> end_;
  bool is_told_ = false;
};

class LineHandshake final : public WorkerHandshake {
 public:
  explicit LineHandshake(std::shared_ptr<const WorkerHost> host) : host_(std::move(host)) {}

  Bytes start() override { return "WHO\n"; }
  Step feed(BytesView bytes) override {
    line_.append(bytes);
    if (!line_.ends_with('\n') && line_.size() < 100) return {};
    registration_.name = line_.substr(6, line_.size() - 7);
    if (line_.starts_with("HELLO ") && auth::is_slave_name(registration_.name)) {
      return {.action = Step::Action::registered};
    }
    return {.action = Step::Action::close, .failure = {Errc::protocol_error, "it does not say HELLO", 0}};
  }
  [[nodiscard]] Failure at_end() const override { return {Errc::connection_lost, "it went", 0}; }
  [[nodiscard]] const Registration& registration() const noexcept override { return registration_; }
  [[nodiscard]] Proof proof() const noexcept override { return Proof::none; }
  [[nodiscard]] std::shared_ptr<AdmittedBackend> make_backend() override {
    return std::make_shared<LineBackend>(host_);
  }
  Bytes open() override { return "WELCOME\n"; }
  Bytes refuse(const EntryRefusal& refusal) override { return "NO " + refusal.reason + "\n"; }
  Bytes reject() override { return "NO\n"; }

 private:
  const std::shared_ptr<const WorkerHost> host_;
  Bytes line_;
  Registration registration_;
};

class LineProtocol final : public WorkerProtocol {
 public:
  explicit LineProtocol(std::optional<Duration> silence) : silence_(silence) {}
  [[nodiscard]] std::string_view name() const noexcept override { return "lines"; }
  [[nodiscard]] bool has_keys() const noexcept override { return false; }
  [[nodiscard]] bool does_one_operation_at_a_time() const noexcept override { return true; }
  [[nodiscard]] Recognition recognise(BytesView opening) const override {
    constexpr BytesView word = "HELLO ";
    if (opening.starts_with(word)) return Recognition::yes;
    return word.starts_with(opening) ? Recognition::need_more : Recognition::no;
  }
  [[nodiscard]] std::optional<Duration> silence_before_sending() const noexcept override { return silence_; }
  [[nodiscard]] BeginHandshake serve(WorkerHost host) const override {
    return [host = std::make_shared<const WorkerHost>(std::move(host))](const NewConnection&) {
      return std::make_unique<LineHandshake>(host);
    };
  }

 private:
  const std::optional<Duration> silence_;
};

// --- a listener for it, beside remsh 2

std::vector<SlaveProtocol> with_lines(std::optional<Duration> silence = {}) {
  return {SlaveProtocol::remsh2(), SlaveProtocol(std::make_shared<LineProtocol>(silence))};
}

/// What the log has got.
class Heard {
 public:
  LogHook hook() {
    return [this](const LogRecord& record) {
      const std::lock_guard lock(mutex_);
      text_ += record.peer + ": " + record.message + "\n";
      changed_.notify_all();
    };
  }

  /// Waits until it has been said.
  bool wait_for(const std::string& words) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, ample, [&] { return text_.find(words) != std::string::npos; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
};

std::unique_ptr<Transport> connect_to_port(std::uint16_t port) {
  auto socket = connect_to({Address::Kind::tcp, "127.0.0.1", port, {}}, ample);
  REQUIRE(socket.ok());
  return std::make_unique<SocketTransport>(std::move(*socket), "a master", false);
}

/// A listener on the loopback that accepts remsh 2 and lines.
struct Place {
  explicit Place(std::optional<Duration> silence = {})
      : listener({.slave_collection = slaves,
                  .address = "tcp:127.0.0.1:0",
                  .keys = ring,
                  .keyless = true,
                  .protocols = with_lines(silence),
                  .log = log.hook()}) {
    listener.start();
  }

  Heard log;
  SlaveCollection slaves;
  KeyRing ring;
  TcpSlaveListener listener;
};

/// A worker that is admitted, and its slave.
struct Admitted : Place {
  Admitted() : worker(connect_to_port(listener.port())) {
    worker.send("HELLO w1");
    CHECK(worker.next() == "WELCOME");
    slave = slaves.get_slave(ample);
    REQUIRE(slave);
  }

  LineTransport worker;
  std::shared_ptr<Slave> slave;
};

}  // namespace

TEST_CASE("a worker of a third protocol registers, and does an operation") {
  Admitted one;
  CHECK(one.slave->name() == "w1");
  CHECK(one.slave->info().protocol == "lines");
  auto info = std::async(std::launch::async, [&one] { return one.slave->stat("/etc/passwd"); });
  CHECK(one.worker.next() == "STAT /etc/passwd");
  one.worker.send("FILE");
  CHECK(info.get().has_value());
  SUBCASE("also without a waiting thread") {
    auto started = one.slave->start_stat("/nothing");
    CHECK(one.worker.next() == "STAT /nothing");
    one.worker.send("NONE");
    CHECK_FALSE(started.wait().has_value());
  }
  SUBCASE("its end fails the operation, and takes the slave out of the collection") {
    auto lost = std::async(std::launch::async, [&one] { return one.slave->stat("/"); });
    CHECK(one.worker.next() == "STAT /");
    one.worker.transport().shutdown();
    CHECK_THROWS_AS(lost.get(), ConnectionLost);
    CHECK_FALSE(one.slave->is_connected());
  }
  SUBCASE("it is disconnected with its listener") {
    one.slave->disconnect();
    CHECK_FALSE(one.worker.next());
  }
}

TEST_CASE("an operation that a protocol does not have is an error that names both") {
  const Admitted one;
  try {
    one.slave->mkdir("/tmp/x");
    FAIL("nothing was thrown");
  } catch (const Error& error) {
    CHECK(error.code() == Errc::unsupported);
    CHECK(error.message() == "the slave speaks lines, which has no operation 'mkdir'");
  }
  CHECK(one.slave->is_connected());
}

TEST_CASE("a worker that has proven nothing gets no name that has a key, whatever protocol it speaks") {
  Place place;
  const auto key = place.ring.register_slave("w1", key_of('k'));
  LineTransport worker(connect_to_port(place.listener.port()));
  worker.send("HELLO w1");
  CHECK(worker.next() == "NO");
  CHECK_FALSE(worker.next());
  CHECK(place.log.wait_for("there is one for this name"));
  CHECK(place.slaves.size() == 0);
}

TEST_CASE("a worker that has proven nothing is disconnected when a key of its name appears") {
  Admitted one;
  const auto key = one.ring.register_slave("w1", key_of('k'));
  CHECK_FALSE(one.worker.next());
  CHECK(one.log.wait_for("its name has a key now"));
}

TEST_CASE("a name that a worker has is refused to another one, in the words of its protocol") {
  Admitted one;
  LineTransport worker(connect_to_port(one.listener.port()));
  worker.send("HELLO w1");
  CHECK(worker.next() ==
        "NO a slave with the name 'w1' is connected");  // that a ping is unsupported shows that it lives
}

TEST_CASE("TLS has proven somebody: then a worker that proves nothing else is nobody") {
  SlaveCollection slaves;
  KeyRing ring;
  Heard log;
  const Secret key = key_of('k');
  const auto w1 = ring.register_slave("w1", key);
  TcpSlaveListener listener({.slave_collection = slaves,
                             .address = "tls:127.0.0.1:0",
                             .keys = ring,
                             .keyless = true,
                             .protocols = with_lines(),
                             .log = log.hook()});
  listener.start();
  const auto context = TlsContext::client("w1:" + auth::kid(key), auth::derive(key, "tls"));
  auto tls = connect_tls({Address::Kind::tls, "127.0.0.1", listener.port(), {}}, *context, ample);
  REQUIRE(tls.ok());
  LineTransport worker(std::move(*tls));
  worker.send("HELLO w2");
  CHECK(worker.next() == "NO");
  CHECK(
      log.wait_for("'w2' does not register with the key by which it came: TLS has proven 'w1:" + auth::kid(key) + "'"));
  CHECK(slaves.size() == 0);
}

TEST_CASE("a worker that proves nothing is rejected where workers without keys are not accepted") {
  SlaveCollection slaves;
  TransportSlaveListener listener({.slave_collection = slaves, .protocols = with_lines()});
  std::array<int, 2> pair{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0);
  LineTransport worker(socket_transport(pair[1], "a master"));
  worker.send("HELLO w1");
  CHECK_THROWS_AS(listener.handle_new_connection(socket_transport(pair[0], "a worker")), AuthError);
  CHECK(worker.next() == "NO");
}

TEST_CASE("a protocol that has no keys is refused at a TCP listener without `keyless`") {
  SlaveCollection slaves;
  try {
    const TcpSlaveListener listener({.slave_collection = slaves, .keys = KeyRing(), .protocols = with_lines()});
    FAIL("nothing was thrown");
  } catch (const Error& error) {
    CHECK(error.code() == Errc::invalid_argument);
    CHECK(error.message().find("slaves that speak lines have no keys") != std::string::npos);
  }
}

TEST_CASE("a master that has to send first does so after a silence") {
  Place place(20ms);
  LineTransport worker(connect_to_port(place.listener.port()));
  CHECK(worker.next() == "WHO");
  worker.send("HELLO w1");
  CHECK(worker.next() == "WELCOME");
}

TEST_CASE("a master that has to send first does not do so to a worker that has begun to speak") {
  SlaveCollection slaves;
  TransportSlaveListener listener({.slave_collection = slaves, .keyless = true, .protocols = with_lines(1ms)});
  const auto admit = [&listener](int socket) {
    return std::async(std::launch::async, [&listener, socket] {
      return listener.handle_new_connection(socket_transport(socket, "a worker"));
    });
  };
  std::array<int, 2> one{};
  std::array<int, 2> other{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, one.data()) == 0);
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, other.data()) == 0);
  REQUIRE(::write(one[1], "HEL", 3) == 3);
  auto slow = admit(one[0]);
  auto silent = admit(other[0]);
  LineTransport slow_worker(socket_transport(one[1], "a master"));
  LineTransport silent_worker(socket_transport(other[1], "a master"));
  CHECK(silent_worker.next() == "WHO");
  silent_worker.send("HELLO w2");
  CHECK(silent.get()->name() == "w2");
  slow_worker.send("LO w1");
  CHECK(slow_worker.next() == "WELCOME");
  CHECK(slow.get()->name() == "w1");
}

TEST_CASE("a master that has to send first at once does so") {
  SlaveCollection slaves;
  TransportSlaveListener listener(
      {.slave_collection = slaves, .keyless = true, .protocols = {SlaveProtocol(std::make_shared<LineProtocol>(0ms))}});
  auto [ours, theirs] = memory_pair();
  auto slave = std::async(std::launch::async, [&listener, transport = std::move(ours)]() mutable {
    return listener.handle_new_connection(std::move(transport));
  });
  LineTransport worker(std::move(theirs));
  CHECK(worker.next() == "WHO");
  worker.send("HELLO w1");
  CHECK(worker.next() == "WELCOME");
  CHECK(slave.get()->name() == "w1");
}

TEST_CASE("a listener that does not accept a protocol that it knows says how to accept it") {
  SlaveCollection slaves;
  TransportSlaveListener listener(
      {.slave_collection = slaves, .keyless = true, .protocols = {SlaveProtocol::remsh1()}});
  auto [ours, theirs] = memory_pair();
  LineTransport worker(std::move(theirs));
  const Bytes hello("\0\4_ask", 6);
  const std::string_view view = hello;
  REQUIRE(worker.transport().write_some({&view, 1}).bytes == hello.size());
  try {
    listener.handle_new_connection(std::move(ours));
    FAIL("nothing was thrown");
  } catch (const Error& error) {
    CHECK(error.code() == Errc::refused);
    CHECK(error.message().find(
              "it speaks remsh 2, which this listener does not accept: add SlaveProtocol::remsh2() to") == 0);
  }
}

}  // namespace remsh
