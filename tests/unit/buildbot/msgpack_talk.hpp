// A session over msgpack and a WebSocket, and the worker that a test plays.
#pragma once

#include "base/base64.hpp"
#include "buildbot/msgpack.hpp"
#include "buildbot/msgpack_session.hpp"
#include "support/client_frame.hpp"
#include "support/worker_events.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh::test::msgpack_talk {

using namespace remsh::buildbot;

using Kind = WorkerCommand::Kind;
using Said = WorkerEvent::Kind;

inline constexpr std::string_view end_of_head = "\r\n\r\n";

// --- what a worker says

inline Bytes request(const std::string& more) {
  return "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "
         "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" +
         more + "\r\n";
}

inline Bytes login(const std::string& user_and_password) {
  return request("Authorization: Basic " + to_base64(user_and_password) + "\r\n");
}

inline Bytes frame_of(BytesView payload) { return client_frame(0x82, payload); }
inline Bytes binary(const Value& message) { return frame_of(to_msgpack(message).value()); }

using Fields = std::vector<std::pair<const char*, Value>>;

inline Value text(const char* words) { return Value::text(words); }

inline Value map(const Fields& fields) {
  Value::Dict dict;
  for (const auto& [key, value] : fields) {
    dict.keys.push_back(text(key));
    dict.values.push_back(value);
  }
  return Value::What(std::move(dict));
}

inline Value response(std::int64_t number, Value result = {}) {
  return map({{"op", text("response")}, {"seq_number", number}, {"result", std::move(result)}});
}

inline Value exception(std::int64_t number, Value result) {
  return map({{"op", text("response")}, {"seq_number", number}, {"is_exception", true}, {"result", std::move(result)}});
}

/// A call for the command "a". Which request it is does not matter.
inline Value call(const char* op, Fields more = {}) {
  more.insert(more.begin(), {{"op", text(op)}, {"seq_number", 50}, {"command_id", text("a")}});
  return map(more);
}

inline Value updates(std::vector<Value> pairs) { return call("update", {{"args", Value::list(std::move(pairs))}}); }
inline Value update(const char* key, Value value) { return updates({Value::list({text(key), std::move(value)})}); }
inline Value output(const char* words) { return Value::list({text(words), Value::list({}), Value::list({0.5})}); }
inline Value complete() { return call("complete", {{"args", {}}}); }

// --- what is said, for people

/// The messages in frames of a server, each in one frame that is not masked.
inline std::vector<Value> messages_in(BytesView bytes) {
  std::vector<Value> all;
  while (!bytes.empty()) {
    REQUIRE(bytes.size() >= 2);
    CHECK(static_cast<unsigned char>(bytes[0]) == 0x82);
    const auto length = static_cast<unsigned char>(bytes[1]);
    REQUIRE(length < 0x80);
    const std::size_t more = length < 126 ? 0 : length == 126 ? 2 : 8;
    std::size_t size = more == 0 ? length : 0;
    for (std::size_t i = 0; i < more; ++i) size = size << 8U | static_cast<unsigned char>(bytes[2 + i]);
    REQUIRE(bytes.size() >= 2 + more + size);
    auto message = from_msgpack(bytes.substr(2 + more, size));
    REQUIRE_MESSAGE(message.ok(), message.failure().message);
    all.push_back(std::move(*message));
    bytes.remove_prefix(2 + more + size);
  }
  return all;
}

inline std::string shown(const std::vector<Value>& messages) {
  std::string all;
  for (const Value& message : messages) all += (all.empty() ? "" : " ") + to_string(message);
  return all;
}

/// A session, and the worker that the test plays.
class Talk {
 public:
  explicit Talk(LoginCheck check = is_w1) : session_(make_msgpack_session(std::move(check))) {}

  WorkerSession* operator->() { return session_.get(); }

  /// What the worker says is right.
  void hears_bytes(BytesView bytes) {
    const auto fed = session_->feed(bytes);
    REQUIRE_MESSAGE(fed.ok(), fed.failure().message);
  }
  void hears(const Value& message) { hears_bytes(binary(message)); }

  /// The events since the last call.
  std::string told() { return test::told_by(*session_); }

  /// What was sent since the last call.
  std::vector<Value> sent_messages() { return messages_in(session_->take_output()); }
  std::string sent() { return shown(sent_messages()); }

  void log_in() {
    hears_bytes(login("w1:pw1"));
    CHECK(told() == "logged_in");
    CHECK(session_->take_output().starts_with("HTTP/1.1 101 "));
  }

 private:
  std::unique_ptr<WorkerSession> session_;
};

struct LoggedIn : Talk {
  LoggedIn() { log_in(); }
};

inline const WorkerCommand look{.kind = Kind::stat, .path = "/w/f"};
inline const WorkerCommand upload{.kind = Kind::upload_file, .path = "/w/f"};
inline const WorkerCommand download{.kind = Kind::download_file, .path = "/w/f"};

}  // namespace remsh::test::msgpack_talk
