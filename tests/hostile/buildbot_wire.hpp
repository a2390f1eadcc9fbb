// EvilWorker and WorkerPrey: a worker of Buildbot that says whatever it likes, and a master for it.
#pragma once

#include "base/base64.hpp"
#include "base/digest.hpp"
#include "buildbot/banana.hpp"
#include "buildbot/jelly.hpp"
#include "buildbot/msgpack.hpp"
#include "hostile/honeypot.hpp"
#include "support/client_frame.hpp"
#include "support/slaves.hpp"

#include <doctest/doctest.h>
#include <remsh/base/value.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace remsh::test {

/// The protocol of a worker.
enum class Speaks { pb, msgpack };

inline const char* to_string(Speaks speaks) { return speaks == Speaks::pb ? "pb" : "msgpack"; }

inline Value text(std::string words) { return Value::text(std::move(words)); }

// --- messages as bytes, whatever they say

/// A frame of a client. The mask is 0, so the payload is as it is.
inline Bytes frame_of(unsigned opcode, BytesView payload, bool is_final = true) {
  return client_frame((is_final ? 0x80U : 0U) | opcode, payload);
}

inline Bytes frame_of(const Value& message) { return frame_of(2, buildbot::to_msgpack(message).value()); }

inline Bytes banana_of(const buildbot::Expression& expression,
                       buildbot::Vocabulary vocabulary = buildbot::Vocabulary::pb) {
  Bytes bytes;
  buildbot::append_banana(bytes, expression, vocabulary);
  return bytes;
}

inline buildbot::Expression jelly_of(const Value& value) { return buildbot::to_jelly(value).value(); }

inline buildbot::Expression tuple_of(buildbot::Expression::List items) {
  items.insert(items.begin(), "tuple");
  return buildbot::Expression(std::move(items));
}

/// What an honest worker tells about itself.
inline Value usual_info(std::initializer_list<std::pair<Value, Value>> more = {}) {
  Value::Dict info;
  const auto add = [&info](const Value& key, const Value& value) {
    info.keys.push_back(key);
    info.values.push_back(value);
  };
  add(text("basedir"), text("/w"));
  add(text("system"), text("posix"));
  add(text("version"), text("3.7.0"));
  add(text("environ"), Value::dict({{text("PATH"), text("/bin")}}));
  for (const auto& [key, value] : more) add(key, value);  // the last value of a key counts
  return Value::What(std::move(info));
}

/// An HTTP request as a worker makes it.
inline Bytes upgrade_request(const std::string& name, const std::string& password, const std::string& more = {}) {
  return "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: XlSi866Eay5NHxEfYjxmJg==\r\nAuthorization: Basic " +
         to_base64(name + ":" + password) + "\r\n" + more + "\r\n";
}

/// What the master has said: a request, or an answer.
struct Asked {
  std::string op = {};  ///< or "answer", "error", "pong", "close"
  std::int64_t number = 0;
  std::string command = {};         ///< the id of the command that it starts, or is about
  std::string name = {};            ///< of the command that it starts
  std::int64_t object = 0;          ///< (PB) the master's, for the updates of that command
  std::int64_t file = 0;            ///< (PB) the master's, for its file
  std::size_t builders = 0;         ///< (PB) how many it wants to have
  buildbot::Expression whole = {};  ///< (PB)

  [[nodiscard]] bool is_start() const { return op == "start_command" || op == "startCommand"; }
};

/// A worker on a socket. One thread at a time.
class EvilWorker {
 public:
  enum class Verdict { in, rejected, closed };
  enum class Flood { taken, held_up, ended };

  EvilWorker(Speaks speaks, std::uint16_t port) : speaks_(speaks) {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int yes = 1;
    const int small = 64 * 1024;  // so that what we do not read waits in the master soon
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) hang_up();
  }
  EvilWorker(EvilWorker&& other) noexcept
      : speaks_(other.speaks_),
        socket_(std::exchange(other.socket_, -1)),
        came_(std::move(other.came_)),
        banana_(std::move(other.banana_)),
        again_(std::move(other.again_)),
        is_in_(other.is_in_),
        calls_(other.calls_) {}
  EvilWorker& operator=(EvilWorker&&) = delete;
  ~EvilWorker() { hang_up(); }

  [[nodiscard]] Speaks speaks() const noexcept { return speaks_; }
  void hang_up() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }
  void end_input() const { ::shutdown(socket_, SHUT_WR); }

  // --- bytes

  /// False if the connection is gone.
  bool send(BytesView bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  /// Sends a message again and again, and reads nothing. Ends before `total` bytes if the connection ends, or if the
  /// master takes nothing more for so long.
  [[nodiscard]] Flood flood(BytesView message, std::size_t total,
                            std::chrono::milliseconds patience = std::chrono::seconds(5)) const {
    Bytes chunk;
    while (chunk.size() < 64 * 1024) chunk += message;
    const timeval limit{patience.count() / 1000, patience.count() % 1000 * 1000};
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    for (std::size_t sent = 0; sent < total; sent += chunk.size()) {
      for (BytesView rest = chunk; !rest.empty();) {
        const ssize_t count = ::send(socket_, rest.data(), rest.size(), MSG_NOSIGNAL);
        if (count < 0) return errno == EAGAIN ? Flood::held_up : Flood::ended;
        rest.remove_prefix(static_cast<std::size_t>(count));
      }
    }
    const timeval never{};
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &never, sizeof never);
    return Flood::taken;
  }

  /// What has come, whatever it is; empty at the end.
  [[nodiscard]] Bytes read_bytes() const {
    pollfd ready{socket_, POLLIN, 0};
    if (::poll(&ready, 1, std::chrono::milliseconds(ample).count()) != 1) throw std::runtime_error("it is silent");
    Bytes bytes(65536, '\0');
    bytes.resize(static_cast<std::size_t>(std::max(ssize_t{0}, ::recv(socket_, bytes.data(), bytes.size(), 0))));
    return bytes;
  }

  /// All that comes until the connection ends.
  [[nodiscard]] Bytes read_to_end() {
    Bytes all = std::exchange(came_, {});
    for (Bytes more = read_bytes(); !more.empty(); more = read_bytes()) all += more;
    return all;
  }

  [[nodiscard]] bool was_closed() const {
    char byte = 0;
    const ssize_t count = ::recv(socket_, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    return count == 0 || (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
  }

  /// Reads and drops what has come. True at the end of the connection.
  [[nodiscard]] bool has_ended() const {
    Bytes dropped(4096, '\0');
    for (;;) {
      const ssize_t count = ::recv(socket_, dropped.data(), dropped.size(), MSG_DONTWAIT);
      if (count <= 0) return count == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
    }
  }

  // --- the login

  /// Until the master asks what the worker is.
  Verdict prove(const std::string& name, const std::string& password) {
    return speaks_ == Speaks::pb ? prove_by_pb(name, password) : prove_by_http(name, password);
  }

  /// The rest of the login. False if the master ends it.
  bool tell(const Value& info) {
    const auto asks_info = read();
    if (!asks_info || !send(answer(asks_info->number, info))) return false;
    const auto prepares = read();
    return prepares && answer_as_usual(*prepares);
  }

  bool log_in(const std::string& name, const Value& info = usual_info()) {
    return prove(name, password_of(name)) == Verdict::in && tell(info);
  }

  static std::string password_of(const std::string& name) { return "pw " + name; }

  /// Chooses the dialect at once, so that nothing waits for the greeting of the master, and asks to log in.
  static Bytes pb_login(const std::string& name) {
    return banana_of("pb", buildbot::Vocabulary::none) + banana_of(buildbot::Expression::list("version", 6)) +
           banana_of(buildbot::Expression::list("message", 1, "root", "login", 1, tuple_of({Bytes(name)}),
                                                buildbot::Expression::list("dictionary")));
  }

  // --- messages

  /// What the master says next; nullopt at the end, which its wish for a shutdown is as well.
  std::optional<Asked> read() {
    for (;;) {
      auto asked = speaks_ == Speaks::pb ? next_expression() : next_frame();
      if (asked && (asked->op == "shutdown" || asked->op == "close")) {
        hang_up();
        return std::nullopt;
      }
      if (asked) return asked;
      const Bytes bytes = read_bytes();
      if (bytes.empty()) return std::nullopt;
      speaks_ == Speaks::pb ? banana_.feed(bytes) : static_cast<void>(came_ += bytes);
    }
  }

  /// The next start of a command. What else comes is answered as an honest worker would.
  Asked read_start() {
    while (auto asked = read()) {
      if (asked->is_start()) return *std::move(asked);
      answer_as_usual(*asked);
    }
    throw std::runtime_error("it has gone");
  }

  /// The next request, of any kind.
  Asked read_request() {
    while (auto asked = read()) {
      if (asked->op != "answer" && asked->op != "error" && asked->op != "decref") return *std::move(asked);
    }
    throw std::runtime_error("it has gone");
  }

  /// Whether the master still listens.
  bool is_heard() {
    const std::int64_t number = ++calls_;
    const bool is_sent = send(speaks_ == Speaks::pb ? call(2, "keepalive", {}, number) : frame_of(9, "?"));
    while (const auto asked = is_sent ? read() : std::nullopt) {
      if (asked->op == "pong" || (asked->op == "answer" && asked->number == number && speaks_ == Speaks::pb))
        return true;
    }
    return false;
  }

  [[nodiscard]] Bytes answer(std::int64_t number, const Value& value = {}) const {
    if (speaks_ == Speaks::pb) return banana_of(buildbot::Expression::list("answer", number, jelly_of(value)));
    return frame_of(
        Value::dict({{text("op"), text("response")}, {text("seq_number"), number}, {text("result"), value}}));
  }
  [[nodiscard]] Bytes failure(std::int64_t number, const std::string& words) const {
    if (speaks_ == Speaks::pb)
      return banana_of(buildbot::Expression::list("error", number, buildbot::failure("exceptions.Evil", words)));
    return frame_of(Value::dict({{text("op"), text("response")},
                                 {text("seq_number"), number},
                                 {text("result"), text(words)},
                                 {text("is_exception"), true}}));
  }

  /// (PB) A call of an object of the master.
  Bytes call(const buildbot::Expression& object, const std::string& method, buildbot::Expression::List arguments) {
    return call(object, method, std::move(arguments), ++calls_);
  }
  /// (msgpack) A call about a command.
  Bytes call(const std::string& op, const std::string& command, std::pair<Value, Value> more = {text("x"), {}}) {
    return frame_of(Value::dict({{text("op"), text(op)},
                                 {text("seq_number"), ++calls_},
                                 {text("command_id"), text(command)},
                                 std::move(more)}));
  }

  Bytes update(const Asked& start, const std::string& key, const Value& value) {
    if (speaks_ == Speaks::msgpack) {
      return call("update", start.command, {text("args"), Value::list({Value::list({text(key), value})})});
    }
    return call(start.object, "update", {jelly_of(Value::list({Value::list({Value::dict({{text(key), value}}), 0})}))});
  }
  Bytes output(const Asked& start, const std::string& key, const std::string& words) {
    const Value value = text(words);
    return update(start, key, speaks_ == Speaks::pb ? value : Value::list({value, Value::list({}), Value::list({})}));
  }
  Bytes part(const Asked& start, const Bytes& data) {
    if (speaks_ == Speaks::pb) return call(start.file, "write", {data});
    return call("update_upload_file_write", start.command, {text("args"), Value::bytes(data)});
  }
  Bytes wish(const Asked& start, std::int64_t size) {
    if (speaks_ == Speaks::pb) return call(start.file, "read", {size});
    return call("update_read_file", start.command, {text("length"), size});
  }
  Bytes complete(const Asked& start, const std::optional<std::string>& why = {}) {
    if (speaks_ == Speaks::msgpack) {
      return call("complete", start.command, {text("args"), why ? text(*why) : Value()});
    }
    return call(start.object, "complete", {why ? buildbot::failure("exceptions.Evil", *why) : jelly_of({})});
  }

  // --- whole commands

  /// The answer to the start, the result, the end.
  bool finish(const Asked& start, std::int64_t rc) {
    return send(answer(start.number) + update(start, "rc", rc) + complete(start));
  }
  bool finish_stat(const Asked& start, std::int64_t mode, std::int64_t size) {
    return send(answer(start.number) + update(start, "stat", Value::list({mode, 1, 1, 1, 0, 0, size, 0, 0, 0})) +
                update(start, "rc", 0) + complete(start));
  }
  /// Lets an operation come to the command after its look at a file or a directory.
  Asked read_start_after_stat(std::int64_t mode, std::int64_t size = 10) {
    finish_stat(read_start(), mode, size);
    return read_start();
  }
  static constexpr std::int64_t directory = 040755;
  static constexpr std::int64_t file = 0100644;

  /// As an honest worker would, except that commands are not answered.
  bool answer_as_usual(const Asked& asked) {
    if (asked.is_start() || asked.op == "answer" || asked.op == "error" || asked.op == "pong" || asked.op == "decref")
      return true;
    if (asked.op != "setBuilderList") return send(answer(asked.number));
    List made{"dictionary"};
    for (std::size_t i = 1; i <= asked.builders; ++i) {
      made.emplace_back(buildbot::Expression::list(jelly_of(text("remsh-" + std::to_string(i))),
                                                   buildbot::remote(static_cast<std::int64_t>(100 + i))));
    }
    return send(banana_of(buildbot::Expression::list("answer", asked.number, std::move(made))));
  }

 private:
  using List = buildbot::Expression::List;

  static Bytes call(const buildbot::Expression& object, const std::string& method, List arguments,
                    std::int64_t number) {
    return banana_of(buildbot::Expression::list("message", number, object, Bytes(method), 1,
                                                tuple_of(std::move(arguments)),
                                                buildbot::Expression::list("dictionary")));
  }

  Verdict prove_by_http(const std::string& name, const std::string& password) {
    if (!send(upgrade_request(name, password))) return Verdict::closed;
    for (;;) {
      const std::size_t end = came_.find("\r\n\r\n");
      if (end != Bytes::npos) {
        const bool is_in = came_.starts_with("HTTP/1.1 101 ");
        const bool is_rejected = came_.starts_with("HTTP/1.1 401 ");
        came_.erase(0, end + 4);
        return is_in ? Verdict::in : is_rejected ? Verdict::rejected : Verdict::closed;
      }
      const Bytes bytes = read_bytes();
      if (bytes.empty()) return Verdict::closed;
      came_ += bytes;
    }
  }

  Verdict prove_by_pb(const std::string& name, const std::string& password) {
    if (!send(pb_login(name))) return Verdict::closed;
    calls_ = 2;
    auto challenge = read();
    if (!challenge || challenge->op != "answer") return Verdict::closed;
    const auto* const answered = challenge->whole.get_if<List>();
    const auto items = buildbot::items_of_tuple(answered->at(2)).value();
    const Bytes digest_of = digest(Hash::md5, digest(Hash::md5, password).value() + *items[0].get_if<Bytes>()).value();
    send(call(1, "respond", {digest_of, buildbot::remote(1)}, 2));
    return wait_for_verdict();
  }

  /// Leaves the request that follows to read().
  Verdict wait_for_verdict() {
    auto asked = read();
    if (!asked) return Verdict::closed;
    if (asked->op == "error") {
      const auto text_of = buildbot::failure_text(asked->whole.get_if<List>()->at(2));
      return text_of ? Verdict::rejected : Verdict::closed;
    }
    again_ = std::move(asked);
    return Verdict::in;
  }

  std::optional<Asked> next_frame() {
    if (came_.size() < 2) return std::nullopt;
    const auto byte = [this](std::size_t at) { return static_cast<unsigned char>(came_[at]); };
    std::size_t size = byte(1);
    std::size_t head = 2;
    const std::size_t more = size == 126 ? 2 : size == 127 ? 8 : 0;
    if (came_.size() < head + more) return std::nullopt;
    if (more > 0) size = 0;
    for (std::size_t i = 0; i < more; ++i) size = size << 8U | byte(head + i);
    head += more;
    if (came_.size() < head + size) return std::nullopt;
    const unsigned opcode = byte(0) & 0xfU;
    const Bytes payload = came_.substr(head, size);
    came_.erase(0, head + size);
    if (opcode == 10) return Asked{.op = "pong"};
    if (opcode == 8) return Asked{.op = "close"};
    return asked_of(buildbot::from_msgpack(payload).value());
  }

  static Asked asked_of(const Value& message) {
    const auto text_in = [&message](const char* key) {
      const Value* const value = message.find(text(key));
      const auto* const words = value != nullptr ? value->get_if<Value::Text>() : nullptr;
      return words != nullptr ? words->text : std::string();
    };
    Asked asked{.op = text_in("op"), .command = text_in("command_id"), .name = text_in("command_name")};
    if (asked.op == "response") asked.op = "answer";
    asked.number = *message.find(text("seq_number"))->get_if<std::int64_t>();
    return asked;
  }

  std::optional<Asked> next_expression() {
    if (again_) return std::exchange(again_, {});
    for (;;) {
      auto expression = banana_.next().value();
      if (!expression) return std::nullopt;
      const auto* const list = expression->get_if<List>();
      if (!is_in_ || list->at(0) == buildbot::Expression("version")) {  // the dialects and the version
        is_in_ = true;
        continue;
      }
      return asked_of(*std::move(expression));
    }
  }

  static Asked asked_of(buildbot::Expression expression) {
    const List& list = *expression.get_if<List>();
    Asked asked{.op = *list.at(0).get_if<Bytes>(), .number = *list.at(1).get_if<std::int64_t>()};
    if (asked.op == "message") {
      asked.op = *list.at(3).get_if<Bytes>();
      const auto items = buildbot::items_of_tuple(list.at(5)).value();
      if (asked.op == "setBuilderList") asked.builders = items[0].get_if<List>()->size() - 1;
      if (asked.is_start()) {
        asked.object = buildbot::remote_of(items[0]).value();
        asked.command = buildbot::from_jelly(items[1]).value().get_if<Value::Text>()->text;
        asked.name = buildbot::from_jelly(items[2]).value().get_if<Value::Text>()->text;
        const auto pairs = buildbot::pairs_of_dictionary(items[3]).value();
        for (const auto& [key, value] : pairs) {
          if (const auto object = buildbot::remote_of(value)) asked.file = *object;
        }
      }
    }
    asked.whole = std::move(expression);
    return asked;
  }

  const Speaks speaks_;
  int socket_ = -1;
  Bytes came_;
  buildbot::BananaReader banana_{{.bytes = 64'000'000}};
  std::optional<Asked> again_;
  bool is_in_ = false;
  std::int64_t calls_ = 0;
};

/// How a master of a test differs from the usual.
struct WorkerPreyOptions {
  bool keyless = false;
  std::chrono::milliseconds handshake_timeout = ample;
};

/// A master for workers of Buildbot and slaves of ours, with one honest slave, and beside them files that are nobody's
/// to touch. One thread at a time.
class WorkerPrey {
 public:
  explicit WorkerPrey(WorkerPreyOptions options = {})
      : listener(
            {.slave_collection = slaves,
             .address = "tcp:127.0.0.1:0",
             .keys = keys_,
             .keyless = options.keyless,
             // The first one is assumed of a peer that nothing recognises: a worker that does not wait for the
             // greeting.
             .protocols = {SlaveProtocol::buildbot_pb(), SlaveProtocol::buildbot_msgpack(), SlaveProtocol::remsh2()},
             .handshake_timeout = options.handshake_timeout,
             .log = [this](const LogRecord& record) { keep(record); }}) {
    listener.start();
    SlaveOptions honest_options{.name = "honest", .basedir = dir / "honest"};
    honest_options.key = make_key();
    registrations_.push_back(keys_.register_slave("honest", *honest_options.key));
    honest_ = std::make_unique<SlaveThread>(
        std::move(honest_options), [this](SlaveServer& server) { return server.run_once(listener.address()); });
    honest = find("honest");
    if (!says("honest: registered")) throw std::runtime_error("nothing says that it has registered");
  }
  ~WorkerPrey() { listener.stop(); }

  /// Registers the password of a worker.
  void expect(const std::string& name) {
    registrations_.push_back(keys_.register_password(name, EvilWorker::password_of(name)));
  }

  /// A slave when it is in the collection.
  std::shared_ptr<Slave> find(const std::string& name) {
    auto slave = slaves.get_slave(ample, [&name](const Slave& one) { return one.name() == name; });
    if (!slave) throw std::runtime_error(name + " does not register: " + log_text());
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

  /// Waits until a line with these words was logged.
  [[nodiscard]] bool says(const std::string& words) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, ample, [&] { return text_.find(words) != std::string::npos; });
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
  KeyRing keys_;
  std::vector<KeyRegistration> registrations_;

 public:
  TcpSlaveListener listener;
  std::shared_ptr<Slave> honest;

 private:
  std::unique_ptr<SlaveThread> honest_;
};

/// A worker that has logged in, and the slave that the master makes of it.
struct Entered {
  Entered(WorkerPrey& prey, Speaks speaks, const std::string& name) : evil(speaks, prey.port()) {
    prey.expect(name);
    if (!evil.log_in(name)) throw std::runtime_error(name + " is not let in: " + prey.log_text());
    slave = prey.find(name);
  }
  EvilWorker evil;
  std::shared_ptr<Slave> slave;
};

}  // namespace remsh::test
