// Wire, Talk and Relay: what somebody has who speaks our protocol by hand, to a master with keys or to a slave.
#pragma once

#include "auth/slave_handshake.hpp"
#include "os/random.hpp"
#include "support/slaves.hpp"
#include "support/tls.hpp"
#include "transport/address.hpp"
#include "transport/connect.hpp"
#include "transport/endpoint.hpp"
#include "transport/fd_transport.hpp"
#include "transport/tls_transport.hpp"

#include <remsh/connection/box_codec.hpp>

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace remsh::test {

/// What the master says to all who could not prove who they are.
inline Bytes failure_of(const Bytes& tag) {
  return encode(Box{{"_error", tag}, {"_error_code", "AUTH"}, {"_error_description", "authentication failed"}});
}

inline Bytes random_nonce() {
  Bytes nonce(auth::nonce_size, '\0');
  random_bytes(nonce);
  return nonce;
}

/// Bytes on any transport. One thread at a time.
class Wire {
 public:
  /// `socket`: what is below, for end_input().
  explicit Wire(std::unique_ptr<Transport> transport, int socket = -1)
      : transport_(std::move(transport)), socket_(socket) {}

  /// False where the connection is gone.
  bool send(BytesView bytes) {
    while (!bytes.empty()) {
      const IoResult result = transport_->write_some({&bytes, 1});
      if (result.status == IoResult::Status::failed) return false;
      bytes.remove_prefix(result.bytes);
      if (result.bytes == 0) transport_->wait(Ready::write, Transport::slice);
    }
    return true;
  }
  bool send(const Box& box) { return send(encode(box)); }

  /// The bytes of the next box; none where the connection has ended.
  Bytes read_box() {
    for (;;) {
      BoxDecoder decoder;
      decoder.feed(came_);
      if (decoder.next()) {
        const Bytes rest = decoder.unread();
        const Bytes box = came_.substr(0, came_.size() - rest.size());
        came_ = rest;
        return box;
      }
      if (!read()) return {};
    }
  }

  /// All that comes until the connection ends.
  Bytes read_to_end() {
    while (read()) {
    }
    return std::exchange(came_, {});
  }

  /// Says that nothing more comes.
  void end_input() const { ::shutdown(socket_, SHUT_WR); }

  [[nodiscard]] Bytes binding() const { return transport_->channel_binding(); }
  void hang_up() { transport_.reset(); }

 private:
  bool read() {
    const auto until = std::chrono::steady_clock::now() + ample;
    for (;;) {
      std::array<char, 4096> buffer{};
      const IoResult result = transport_->read_some(buffer, Transport::slice);
      if (result.status == IoResult::Status::ok) {
        came_.append(buffer.data(), result.bytes);
        return true;
      }
      if (result.status != IoResult::Status::would_block) return false;
      if (std::chrono::steady_clock::now() > until) throw std::runtime_error("it is silent");
    }
  }

  std::unique_ptr<Transport> transport_;
  int socket_ = -1;
  Bytes came_;
};

/// A connection without TLS to a port of this host.
inline std::unique_ptr<Transport> plain_to(std::uint16_t port) {
  auto socket = connect_to({Address::Kind::tcp, "127.0.0.1", port, {}}, ample);
  if (!socket) throw std::runtime_error(socket.failure().message);
  return std::make_unique<SocketTransport>(std::move(*socket), "a master", false);
}

/// A connection with TLS; who has no key needs a certificate at the other side.
inline std::unique_ptr<Transport> tls_to(std::uint16_t port, const Result<std::shared_ptr<const TlsContext>>& context) {
  auto tls = connect_tls({Address::Kind::tls, "127.0.0.1", port, {}}, *context, ample);
  if (!tls) throw std::runtime_error(tls.failure().message);
  return std::move(*tls);
}

inline Box box_of(BytesView bytes) {
  BoxDecoder decoder;
  decoder.feed(bytes);
  if (!decoder.next()) throw std::runtime_error("no box");
  return decoder.box().copy();
}

/// What a slave would say that has this key, box by box. One thread at a time.
class Talk {
 public:
  Talk(const std::string& name, const std::optional<Secret>& key, const Bytes& binding = {},
       const Bytes& nonce = random_nonce())
      : handshake_({.registration = {.name = name, .hostname = "w.example", .system = "linux", .basedir = "/srv"},
                    .nonce = nonce,
                    .key = key,
                    .binding = binding}),
        hello_(handshake_.start()) {}

  [[nodiscard]] const Bytes& hello() const { return hello_; }
  Bytes prove(BytesView challenge) { return handshake_.feed(challenge).bytes; }
  bool is_open(BytesView welcome) {
    return handshake_.feed(welcome).action == auth::SlaveHandshake::Step::Action::open;
  }

 private:
  auth::SlaveHandshake handshake_;
  const Bytes hello_;
};

struct RelayOptions {
  std::function<std::unique_ptr<Transport>()> to_master;
  std::shared_ptr<const TlsContext> tls = {};  ///< ends the slave's TLS
  std::function<void(Box&)> from_slave = {};   ///< may change a box on its way; none: bytes are passed on
  std::function<void(Box&)> from_master = {};
};

/// Somebody between a slave and its master, for one connection. Thread-safe.
class Relay {
 public:
  explicit Relay(RelayOptions options) : options_(std::move(options)) {
    auto listening = listen_tcp("127.0.0.1", 0, 1);
    if (!listening) throw std::runtime_error(listening.failure().message);
    listening_ = std::move(*listening);
    thread_ = std::thread([this] {
      try {
        run();
      } catch (const std::exception&) {  // then both sides see the end
      }
    });
  }
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  ~Relay() { stop(); }

  /// "127.0.0.1:40112", or the same with TLS.
  [[nodiscard]] std::string address(const std::string& kind = "tcp:") const {
    return kind + "127.0.0.1:" + std::to_string(local_port(listening_.get()));
  }

  /// Ends both connections.
  void stop() {
    stops_ = true;
    if (thread_.joinable()) thread_.join();
  }

  /// What the slave has said, as it came; after stop().
  [[nodiscard]] const Bytes& said_by_slave() const { return said_by_slave_; }

 private:
  void run() {
    Accepted accepted;
    while (!accepted.socket) {
      if (stops_) return;
      pollfd ready{listening_.get(), POLLIN, 0};
      ::poll(&ready, 1, 10);
      accepted = accept_one(listening_.get());
    }
    std::unique_ptr<Transport> slave = std::make_unique<SocketTransport>(std::move(accepted.socket), "a slave", false);
    if (options_.tls) {
      auto tls = std::make_unique<TlsTransport>(std::move(slave), options_.tls);
      if (!tls->handshake(ample)) return;
      tls->set_proven();
      slave = std::move(tls);
    }
    const auto master = options_.to_master();
    BoxDecoder of_slave;
    BoxDecoder of_master;
    while (!stops_ && pass(*slave, *master, options_.from_slave, of_slave, &said_by_slave_) &&
           pass(*master, *slave, options_.from_master, of_master, nullptr)) {
    }
  }

  static bool pass(Transport& from, Transport& to, const std::function<void(Box&)>& change, BoxDecoder& decoder,
                   Bytes* said) {
    std::array<char, 4096> buffer{};
    const IoResult result = from.read_some(buffer, Transport::slice);
    if (result.status == IoResult::Status::would_block) return true;
    if (result.status != IoResult::Status::ok) return false;
    Bytes bytes(buffer.data(), result.bytes);
    if (said != nullptr) said->append(bytes);
    if (change) {
      decoder.feed(bytes);
      bytes.clear();
      while (decoder.next()) {
        Box box = decoder.box().copy();
        change(box);
        bytes += encode(box);
      }
    }
    for (std::string_view rest = bytes; !rest.empty();) {
      const IoResult written = to.write_some({&rest, 1});
      if (written.status == IoResult::Status::failed) return false;
      rest.remove_prefix(written.bytes);
    }
    return true;
  }

  const RelayOptions options_;
  UniqueFd listening_;
  std::atomic<bool> stops_ = false;
  Bytes said_by_slave_;
  std::thread thread_;
};

}  // namespace remsh::test
