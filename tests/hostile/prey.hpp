// Prey and EvilSlave: a master among others' work, and a peer that says whatever it likes.
#pragma once

#include "hostile/honeypot.hpp"
#include "support/slaves.hpp"

#include <doctest/doctest.h>
#include <remsh/connection/box_codec.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace remsh::test {

/// How many descriptors this process has open.
inline std::size_t open_descriptors() {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

/// Room for so many descriptors more, or how many there are.
inline std::size_t make_room(std::size_t wanted) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const std::size_t used = open_descriptors() + 50;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, std::max<rlim_t>(limit.rlim_cur, used + wanted));
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return std::min(wanted, static_cast<std::size_t>(limit.rlim_cur) - used);
}

/// Bytes on a socket. One thread at a time.
class EvilSlave {
 public:
  /// Connects to a listener of this host, from any of its addresses.
  explicit EvilSlave(std::uint16_t port, const std::string& from = "127.0.0.1") {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = ::inet_addr(from.c_str());
    const int yes = 1;
    ::setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);  // each byte when it was sent
    if (from != "127.0.0.1") ::bind(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) hang_up();
  }
  EvilSlave(EvilSlave&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)),
        decoder_(std::move(other.decoder_)),
        bytes_(std::move(other.bytes_)) {}
  EvilSlave& operator=(EvilSlave&&) = delete;
  ~EvilSlave() { hang_up(); }

  void hang_up() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }

  /// Says that nothing more comes.
  void end_input() const { ::shutdown(socket_, SHUT_WR); }

  /// False where the connection is gone.
  bool send(BytesView bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  bool send(const Box& box) const { return send(encode(box)); }

  /// Nothing where the connection has ended.
  std::optional<Box> read_box() {
    while (!decoder_.next()) {
      pollfd ready{socket_, POLLIN, 0};
      if (::poll(&ready, 1, std::chrono::milliseconds(ample).count()) != 1) throw std::runtime_error("it is silent");
      bytes_.resize(4096);
      const ssize_t count = ::recv(socket_, bytes_.data(), bytes_.size(), 0);
      if (count <= 0) return std::nullopt;
      bytes_.resize(static_cast<std::size_t>(count));
      decoder_.feed(bytes_);
    }
    return decoder_.box().copy();
  }

  /// What has come, whatever it is; nothing at the end. Not together with read_box().
  [[nodiscard]] Bytes read_bytes() const {
    pollfd ready{socket_, POLLIN, 0};
    if (::poll(&ready, 1, std::chrono::milliseconds(ample).count()) != 1) throw std::runtime_error("it is silent");
    Bytes bytes(4096, '\0');
    bytes.resize(static_cast<std::size_t>(std::max(ssize_t{0}, ::recv(socket_, bytes.data(), bytes.size(), 0))));
    return bytes;
  }

  /// The next call of an operation that the master makes of us.
  Box read_call(BytesView command) {
    while (auto box = read_box()) {
      if (box->get("_command") == command) return *std::move(box);
    }
    throw std::runtime_error("it has gone");
  }

  /// Waits for the end; gives how many boxes came before.
  std::size_t read_to_end() {
    std::size_t count = 0;
    while (read_box()) ++count;
    return count;
  }

  /// True where it was let go already.
  bool was_closed() const {
    char byte = 0;
    const ssize_t count = ::recv(socket_, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    return count == 0 || (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
  }

  /// True where it is still listened to, false where it was let go.
  bool is_heard() {
    if (!send(Box{{"_ask", "still there"}, {"_command", "ping"}})) return false;
    while (const auto box = read_box()) {
      if (box->get("_answer") == "still there") return true;
    }
    return false;
  }

  static Box hello(const Bytes& name, const Bytes& features = {}) {
    return {{"_ask", "1"},  {"_command", "hello"},     {"features", features},
            {"name", name}, {"nonce", Bytes(32, 'n')}, {"versions", "2"}};
  }
  static Box prove() { return {{"_ask", "2"}, {"_command", "prove"}}; }

  /// False where it is not let in.
  bool register_as(const Bytes& name, const Bytes& features = {}) {
    if (!send(hello(name, features)) || !read_box() || !send(prove())) return false;
    const auto welcome = read_box();
    return welcome && welcome->has("keepalive");
  }

 private:
  int socket_ = -1;
  BoxDecoder decoder_;
  Bytes bytes_;
};

/// How a master of a test differs from the usual.
struct PreyOptions {
  SlaveFactory slave_class = {};
  std::string address = {};          ///< empty: TCP of the loopback
  std::optional<KeyRing> keys = {};  ///< then slaves have keys, also the honest one
  std::optional<TlsIdentity> certificate = {};
  bool keyless = true;
  std::chrono::milliseconds handshake_timeout = ample;
  std::size_t max_handshakes = 256;
  bool compression = false;
};

/// A master over TCP or TLS with one honest slave, and beside them files that are nobody's to touch. One thread at a
/// time.
class Prey {
 public:
  explicit Prey(PreyOptions options = {})
      : listener({.slave_collection = slaves,
                  .slave_class = std::move(options.slave_class),
                  .address = options.address,
                  .keys = options.keys,
                  .certificate = options.certificate,
                  .keyless = options.keyless,
                  .protocols = {SlaveProtocol::remsh2({.compression = options.compression})},
                  .handshake_timeout = options.handshake_timeout,
                  .max_handshakes = options.max_handshakes,
                  .log = [this](const LogRecord& record) { keep(record); }}) {
    listener.start();
    SlaveOptions honest_options{.name = "honest", .basedir = dir / "honest", .keyless = !options.keys};
    if (options.keys) {
      honest_options.key = make_key();
      honest_key_ = options.keys->register_slave("honest", *honest_options.key);
    }
    honest_ = std::make_unique<SlaveThread>(
        std::move(honest_options), [this](SlaveServer& server) { return server.run_once(listener.address()); });
    honest = find("honest");
  }
  ~Prey() { listener.stop(); }

  /// A slave when it is in the collection.
  std::shared_ptr<Slave> find(const std::string& name) {
    auto slave = slaves.get_slave(ample, [&name](const Slave& one) { return one.name() == name; });
    if (!slave) throw std::runtime_error(name + " does not register");
    return slave;
  }

  /// The same slave as ever does its work, and no file was touched.
  [[nodiscard]] bool is_unharmed() { return is_at_work() && honeypot_.is_untouched(); }
  [[nodiscard]] bool is_at_work() {
    return honest->call("echo", {{"word", "still here"}}).get("word") == "still here" &&
           slaves.find("honest") == honest;
  }

  [[nodiscard]] std::string honeypot(const std::string& name) const { return honeypot_.path(name); }
  [[nodiscard]] std::uint16_t port() const { return listener.port(); }

  /// Waits until it was logged that a slave is gone. True: for a breach of the protocol.
  [[nodiscard]] bool was_breach(const std::string& name) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, ample, [&] { return ends_.contains(name); })) throw std::runtime_error("it stays");
    return ends_[name].level == LogLevel::warning;
  }

  [[nodiscard]] std::string log_text() {
    const std::lock_guard lock(mutex_);
    return text_;
  }

  const TempDir dir;
  SlaveCollection slaves;

 private:
  const Honeypot honeypot_{dir};

  void keep(const LogRecord& record) {
    const std::lock_guard lock(mutex_);
    text_ += record.peer + ": " + record.message + "\n";
    if (record.message.starts_with("disconnected: ")) ends_[record.peer] = record;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, LogRecord> ends_;
  std::string text_;
  KeyRegistration honest_key_;

 public:
  TcpSlaveListener listener;
  std::shared_ptr<Slave> honest;

 private:
  std::unique_ptr<SlaveThread> honest_;
};

/// Commands that a slave of raw bytes has been asked for and does not answer, and their operations.
struct OpenCommands {
  std::vector<Pending<ExecuteResult>> pending;
  std::vector<Bytes> ops;
};

inline OpenCommands start_commands(Slave& slave, EvilSlave& evil, int count) {
  OpenCommands commands;
  for (int i = 0; i < count; ++i) {
    commands.pending.push_back(slave.start_execute({"yes"}));
    commands.ops.emplace_back(evil.read_call("execute").get("op").value_or(""));
  }
  return commands;
}

/// All of them fail with the breach that has ended their connection. Releases what they hold.
inline void check_breached(std::vector<Pending<ExecuteResult>> pending) {
  for (auto& one : pending) CHECK_THROWS_AS(one.wait(), ProtocolError);
}

}  // namespace remsh::test
