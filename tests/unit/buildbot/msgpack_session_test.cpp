// The session with a worker that speaks msgpack over a WebSocket: recorded ones, each thing that is asked and told, and
// all that a worker may not say.
#include "buildbot/msgpack_session.hpp"

#include "base/base64.hpp"
#include "base/text.hpp"
#include "buildbot/msgpack.hpp"
#include "golden/buildbot_workers.hpp"
#include "support/has.hpp"
#include "support/hex.hpp"
#include "support/worker_events.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace msgpack_session_test {

using namespace remsh;
using namespace remsh::buildbot;
using namespace remsh::test::buildbot_golden;

using Kind = WorkerCommand::Kind;
using Said = WorkerEvent::Kind;
using test::check_harmless;
using test::has;
using test::is_w1;

namespace {

constexpr std::string_view end_of_head = "\r\n\r\n";

// --- what a worker says

Bytes request(const std::string& more) {
  return "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "
         "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" +
         more + "\r\n";
}

Bytes login(const std::string& user_and_password) {
  return request("Authorization: Basic " + to_base64(user_and_password) + "\r\n");
}

/// A frame of a client. The mask changes nothing.
Bytes frame(unsigned first, BytesView payload) {
  Bytes bytes(1, static_cast<char>(first));
  const std::size_t size = payload.size();
  const int more = size < 126 ? 0 : size < 65536 ? 2 : 8;
  bytes += static_cast<char>(0x80U | (more == 0 ? size : more == 2 ? 126U : 127U));
  for (int i = more; i-- > 0;) bytes += static_cast<char>(size >> (8U * static_cast<unsigned>(i)) & 0xffU);
  return bytes.append(4, '\0').append(payload);
}

Bytes frame_of(BytesView payload) { return frame(0x82, payload); }
Bytes binary(const Value& message) { return frame_of(to_msgpack(message).value()); }

using Fields = std::vector<std::pair<const char*, Value>>;

Value text(const char* words) { return Value::text(words); }

Value map(const Fields& fields) {
  Value::Dict dict;
  for (const auto& [key, value] : fields) {
    dict.keys.push_back(text(key));
    dict.values.push_back(value);
  }
  return Value::What(std::move(dict));
}

Value response(std::int64_t number, Value result = {}) {
  return map({{"op", text("response")}, {"seq_number", number}, {"result", std::move(result)}});
}

Value exception(std::int64_t number, Value result) {
  return map({{"op", text("response")}, {"seq_number", number}, {"is_exception", true}, {"result", std::move(result)}});
}

/// A call for the command "a". Which request it is does not matter.
Value call(const char* op, Fields more = {}) {
  more.insert(more.begin(), {{"op", text(op)}, {"seq_number", 50}, {"command_id", text("a")}});
  return map(more);
}

Value updates(std::vector<Value> pairs) { return call("update", {{"args", Value::list(std::move(pairs))}}); }
Value update(const char* key, Value value) { return updates({Value::list({text(key), std::move(value)})}); }
Value output(const char* words) { return Value::list({text(words), Value::list({}), Value::list({0.5})}); }
Value complete() { return call("complete", {{"args", {}}}); }

// --- what is said, for people

/// The messages in frames of a server, each in one frame that is not masked.
std::vector<Value> messages_in(BytesView bytes) {
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

std::string shown(const std::vector<Value>& messages) {
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

const WorkerCommand look{.kind = Kind::stat, .path = "/w/f"};
const WorkerCommand upload{.kind = Kind::upload_file, .path = "/w/f"};
const WorkerCommand download{.kind = Kind::download_file, .path = "/w/f"};

// --- recordings

/// What the recorded master asked for, and the answers that its files need.
void ask_as_recorded(Talk& talk, const Value& message) {
  const std::string op = message.find(text("op"))->get_if<Value::Text>()->text;
  if (op == "response" && *message.find(text("seq_number")) == Value(6)) talk->give("3", "");
  if (op == "print") talk->print(message.find(text("message"))->get_if<Value::Text>()->text);
  if (op == "get_worker_info") talk->read_info();
  if (op == "set_worker_settings") talk->prepare();
  if (op != "start_command") return;
  constexpr Kind kinds[] = {Kind::stat, Kind::mkdir, Kind::shell, Kind::download_file, Kind::upload_file};
  const std::string id = message.find(text("command_id"))->get_if<Value::Text>()->text;
  talk->start(id, {.kind = kinds[id[0] - '0'], .path = "/w"});
}

/// The fields that ours has as well: not the settings, the arguments of commands, and what was read. The recorded
/// master began with listdir, for which ours has no use, and begins with stat.
std::string comparable(const Value& message) {
  std::string all;
  for (const char* const key : {"op", "seq_number", "message", "command_id", "command_name"}) {
    const Value* const value = message.find(text(key));
    if (value != nullptr) all += to_string(*value == text("listdir") ? text("stat") : *value) + " ";
  }
  return all + "\n";
}

struct Played {
  std::string head;      // of our answer
  std::string recorded;  // that the master sent
  std::string sent;
  std::string told;  // without headers, which have paths
};

/// Plays a recording; `size`: how many bytes of the worker are fed at once.
Played play(std::span<const Segment> segments, std::size_t size) {
  Talk talk;
  Played played;
  for (const Segment& segment : segments) {
    const Bytes bytes = test::from_hex(segment.hex);
    const bool is_head = bytes.ends_with(end_of_head);
    if (segment.from == Side::master && !is_head) {
      const Value message = messages_in(bytes).at(0);
      played.recorded += comparable(message);
      ask_as_recorded(talk, message);
    }
    if (segment.from == Side::worker) {
      for (std::size_t at = 0; at < bytes.size(); at += size) talk.hears_bytes(BytesView(bytes).substr(at, size));
    }
    if (is_head && segment.from == Side::worker) {
      played.head = talk->take_output();
    } else {
      for (const Value& message : talk.sent_messages()) played.sent += comparable(message);
    }
    while (const auto event = talk->next()) {
      if (event->update.kind != WorkerUpdate::Kind::header) played.told += test::in_words(*event) + "\n";
    }
  }
  return played;
}

/// What the recorded worker said first and, behind what it is, next.
constexpr const char* first_told = "logged_in\nanswered 0 None\nanswered 1 {'admin': 'admin\\n', ";
constexpr const char* next_told = R"(answered 2 None
0 rc 0
0 elapsed 6.508827209472656e-05
0 complete
answered 3 None
1 rc 0
1 elapsed 0.00014448165893554688
1 complete
answered 4 None
answered 5 None
answered 6 None
answered 7 None
2 stdout 'out\n'
2 stderr 'err\n'
2 rc 3
2 elapsed 0.006788015365600586
2 complete
answered 8 None
3 reads 16384
3 rc 0
3 elapsed 0.001653909683227539
3 complete
answered 9 None
4 rc 0
4 elapsed 0.004241466522216797
4 complete
)";

}  // namespace

// --- the recordings

TEST_CASE("what a recorded master sent over a WebSocket is what ours sends, and its worker is understood") {
  for (const std::size_t size : std::initializer_list<std::size_t>{1, 2, 7, 1'000'000}) {
    CAPTURE(size);
    const Played played = play(msgpack_3_7, size);
    CHECK(has(played.head, "\r\nSec-WebSocket-Accept: +foVDCLDWlWUd18WwGyRIM6foWA=\r\n"));
    CHECK(played.sent == played.recorded);
    CHECK(played.told.starts_with(first_told));
    const std::size_t next = played.told.find("answered 2");
    REQUIRE(next != std::string::npos);
    CHECK(played.told.substr(next) == next_told);
  }
}

TEST_CASE("a worker of Buildbot 4.3 says the same over a WebSocket") {
  const Played played = play(msgpack_4_3, 1'000'000);
  CHECK(has(played.head, "\r\nSec-WebSocket-Accept: 4/VgLAIKG99CpPPdI+g2f5DGHbg=\r\n"));
  CHECK(played.sent == played.recorded);
  CHECK(played.told.starts_with(first_told));
  CHECK(has(played.told, "answered 7 None\n2 stdout 'out\\n'\n2 stderr 'err\\n'\n2 rc 3\n"));
  CHECK(played.told.ends_with("2 complete\n"));
}

TEST_CASE("a recorded login over a WebSocket is one, wherever its bytes are cut") {
  const Bytes said = test::from_hex(msgpack_3_7[0].hex);
  for (std::size_t cut = 0; cut <= said.size(); ++cut) {
    CAPTURE(cut);
    Talk talk;
    talk.hears_bytes(BytesView(said).substr(0, cut));
    CHECK(talk.told() == (cut == said.size() ? "logged_in" : ""));
    talk.hears_bytes(BytesView(said).substr(cut));
    CHECK(talk.told() == (cut == said.size() ? "" : "logged_in"));
    CHECK(talk->name() == "w1");
    CHECK(has(talk->take_output(), "\r\nSec-WebSocket-Accept: +foVDCLDWlWUd18WwGyRIM6foWA=\r\n"));
  }
}

// --- the login

TEST_CASE("over a WebSocket, a worker is let in by its name and its password alone") {
  struct Case {
    std::string title;
    Bytes request;
    const char* name;
    const char* told;
  };
  const Case cases[] = {
      {"right", login("w1:pw1"), "w1", "logged_in"},
      {"another password", login("w1:pw2"), "w1", "rejected"},
      {"a prefix of it", login("w1:pw"), "w1", "rejected"},
      {"more than it", login("w1:pw1x"), "w1", "rejected"},
      {"no password", login("w1:"), "w1", "rejected"},
      {"no colon", login("w1"), "", "rejected"},
      {"an unknown name", login("w2:pw1"), "w2", "rejected"},
      {"no name", login(":pw1"), "", "rejected"},
      {"a name with controls", login("w1\n\x1b[31m:pw1"), "w1\n\x1b[31m", "rejected"},
      {"no authorization", request(""), "", "rejected"},
      {"another scheme", request("Authorization: Bearer pw1\r\n"), "", "rejected"},
      {"no base64", request("Authorization: Basic w1:pw1\r\n"), "", "rejected"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.title);
    Talk talk;
    talk.hears_bytes(one.request);
    CHECK(talk.told() == one.told);
    CHECK(talk->name() == one.name);
  }
}

TEST_CASE("over a WebSocket, an empty password proves nothing") {
  int asked = 0;
  Talk talk([&asked](std::string_view, const std::function<bool(std::string_view)>& proves) {
    ++asked;
    return proves("");
  });
  talk.hears_bytes(login("w1:"));
  CHECK(talk.told() == "rejected");
  CHECK(asked == 1);
}

TEST_CASE("over a WebSocket, a worker that is rejected gets the status with which it tries again") {
  Talk talk;
  talk.hears_bytes(login("w1:pw2"));
  CHECK(talk->take_output().empty());  // nothing before the caller has decided
  talk->reject();
  const Bytes answer = talk->take_output();
  CHECK(answer.starts_with("HTTP/1.1 401 "));
  CHECK(has(answer, "\r\nWWW-Authenticate: Basic"));
  CHECK(answer.ends_with(end_of_head));
}

TEST_CASE("over a WebSocket, a worker that is rejected is checked once, and cannot go on") {
  int asked = 0;
  Talk talk([&asked](std::string_view, const std::function<bool(std::string_view)>&) { return ++asked > 1; });
  talk.hears_bytes(login("w1:pw1"));
  CHECK(talk.told() == "rejected");
  CHECK_FALSE(talk->feed(binary(complete())).ok());
  CHECK(asked == 1);
  CHECK(talk.told().empty());
}

TEST_CASE("over a WebSocket, what is no request for one is refused with a status") {
  const std::pair<Bytes, const char*> cases[] = {
      {"POST / HTTP/1.1\r\n", "405"},
      {"GET / HTTP/1.0\r\n", "505"},
      {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "426"},
      {request("Origin: http://h\r\n"), "403"},
      {request("Content-Length: 5\r\n"), "400"},
      {binary(complete()), "400"},
      {test::from_hex("0282 7062"), "400"},
      {request("X: " + std::string(9000, 'x') + "\r\n"), "431"},
  };
  for (const auto& one : cases) {
    const auto& bytes = one.first;
    const std::string status = one.second;
    CAPTURE(status);
    Talk talk;
    check_harmless(talk->feed(bytes));
    CHECK(talk->take_output().starts_with("HTTP/1.1 " + status + " "));
    CHECK(talk.told().empty());
  }
}

TEST_CASE("over a WebSocket, what comes at once with the login is read") {
  Talk talk;
  talk.hears_bytes(login("w1:pw1") + frame(0x89, "x"));
  CHECK(talk.told() == "logged_in");
  CHECK(talk->take_output().ends_with(test::from_hex("8a0178")));
  check_harmless(Talk()->feed(login("w1:pw1") + binary(complete())));
}

// --- requests

TEST_CASE("over a WebSocket, each request is a message, and is answered") {
  LoggedIn talk;
  CHECK(talk->read_info() == 0);
  CHECK(talk->prepare() == 1);
  CHECK(talk->print("h\u00fc") == 2);
  CHECK(talk->ping() == 3);
  CHECK(talk->shut_down() == 4);
  talk->admit();
  CHECK(talk.sent() ==
        "{'op': 'get_worker_info', 'seq_number': 0} {'op': 'set_worker_settings', 'seq_number': 1, 'args': "
        "{'buffer_size': 65536, 'buffer_timeout': 0.05, 'max_line_length': 1099511627776, 'newline_re': '(?!)'}} "
        "{'op': 'print', 'seq_number': 2, 'message': 'h\u00fc'} {'op': 'keepalive', 'seq_number': 3} "
        "{'op': 'shutdown', 'seq_number': 4}");
  talk.hears(response(3));  // in any order
  talk.hears(response(0, map({{"numcpus", 2}})));
  talk.hears(map({{"op", text("response")}, {"seq_number", 1}}));
  talk.hears(exception(2, text("I will not")));
  talk.hears(exception(4, {}));
  CHECK(talk.told() ==
        "answered 3 None; answered 0 {'numcpus': 2}; answered 1 None; failed 2 I will not; "
        "failed 4 the worker gives no reason");
  CHECK(talk.sent().empty());
}

TEST_CASE("over a WebSocket, pings are answered, and messages come in fragments") {
  LoggedIn talk;
  talk->ping();
  talk.sent();
  const Bytes message = to_msgpack(response(0)).value();
  talk.hears_bytes(frame(0x02, BytesView(message).substr(0, 5)));
  talk.hears_bytes(frame(0x89, "still there?"));
  CHECK(talk->take_output() == test::from_hex("8a0c") + "still there?");
  talk.hears_bytes(frame(0x8a, "yes"));
  talk.hears_bytes(frame(0x80, BytesView(message).substr(5)));
  CHECK(talk.told() == "answered 0 None");
  CHECK(talk->take_output().empty());
}

TEST_CASE("over a WebSocket, a worker that closes it is gone") {
  LoggedIn talk;
  const auto fed = talk->feed(frame(0x88, test::from_hex("03e8")));
  REQUIRE_FALSE(fed.ok());
  CHECK(fed.failure().code == Errc::connection_lost);
}

// --- commands

TEST_CASE("over a WebSocket, a command has updates until it is complete, also before its start is answered") {
  LoggedIn talk;
  CHECK(talk->start("a", look) == 0);
  CHECK(talk.sent() ==
        "{'op': 'start_command', 'seq_number': 0, 'command_id': 'a', 'command_name': 'stat', 'args': {'path': "
        "'/w/f'}}");
  talk.hears(update("header", output("h\n")));
  CHECK(talk.told() == "a header 'h\\n'");
  CHECK(talk.sent() == "{'op': 'response', 'seq_number': 50, 'result': None}");
  talk.hears(response(0));
  CHECK(talk.told() == "answered 0 None");
  talk.hears(updates({Value::list({text("rc"), 3}), Value::list({text("stdout"), output("o")}),
                      Value::list({text("stat"), Value::list({33188, 1})})}));
  talk.hears(updates({}));
  CHECK(talk.told() == "a rc 3; a stdout 'o'; a stat [33188, 1]");
  talk.sent();
  talk.hears(complete());
  CHECK(talk.told() == "a complete");
  CHECK(talk.sent() == "{'op': 'response', 'seq_number': 50, 'result': None}");
  CHECK(talk->leaves_commands());
  check_harmless(talk->feed(binary(update("rc", 0))));
  CHECK(talk.told().empty());
}

TEST_CASE("over a WebSocket, a command may be complete before its start is answered, well or badly") {
  for (const bool is_bad : {false, true}) {
    LoggedIn talk;
    talk->start("a", look);
    talk.hears(update("rc", 0));
    talk.hears(complete());
    talk.hears(is_bad ? exception(0, text("no")) : response(0));
    CHECK(talk.told() == (is_bad ? "a rc 0; a complete; failed 0 no" : "a rc 0; a complete; answered 0 None"));
  }
}

TEST_CASE("over a WebSocket, a command that fails says why") {
  const std::pair<Value, const char*> cases[] = {
      {text("Traceback"), "a complete: Traceback"},
      {text(""), "a complete: the worker gives no reason"},
      {{}, "a complete"},
  };
  for (const auto& [why, told] : cases) {
    LoggedIn talk;
    talk->start("a", look);
    talk.hears(call("complete", {{"args", why}}));
    CHECK(talk.told() == told);
  }
}

TEST_CASE("over a WebSocket, a command ends well only if the worker says nil") {
  for (const Value& why : {Value(5), Value(false), Value::bytes("no"), Value::list({}), map({})}) {
    CAPTURE(to_string(why));
    LoggedIn talk;
    talk->start("a", look);
    const auto fed = talk->feed(binary(call("complete", {{"args", why}})));
    CHECK((!fed.ok() || talk.told() == "a complete: the worker gives no reason"));
  }
}

TEST_CASE("over a WebSocket, a start that fails is the end of its command") {
  LoggedIn talk;
  talk->start("a", upload);
  talk->start("b", look);
  talk.hears(exception(0, text("no such command")));
  CHECK(talk.told() == "failed 0 no such command");
  talk.sent();
  talk->took("a");
  CHECK(talk.sent().empty());
  check_harmless(talk->feed(binary(complete())));
}

TEST_CASE("over a WebSocket, commands run beside each other") {
  LoggedIn talk;
  talk->start("a", look);
  talk->start("b", look);
  talk.hears(update("rc", 1));
  talk.hears(map({{"op", text("complete")}, {"seq_number", 9}, {"command_id", text("b")}, {"args", {}}}));
  talk.hears(update("elapsed", 0.5));
  CHECK(talk.told() == "a rc 1; b complete; a elapsed 0.5");
}

TEST_CASE("over a WebSocket, an update of a log file has its name") {
  LoggedIn talk;
  talk->start("a", look);
  talk.hears(update("log", Value::list({text("x.log"), output("line\n")})));
  CHECK(talk.told() == "a log of x.log 'line\\n'");
}

TEST_CASE("over a WebSocket, a command is interrupted by its id, also one of a session before") {
  LoggedIn talk;
  talk->start("a", look);
  talk.sent();
  talk->interrupt("a", "enough");
  talk->interrupt("old-7", "its connection was lost");
  CHECK(talk.sent() ==
        "{'op': 'interrupt_command', 'seq_number': 1, 'command_id': 'a', 'why': 'enough'} "
        "{'op': 'interrupt_command', 'seq_number': 2, 'command_id': 'old-7', 'why': 'its connection was lost'}");
  talk.hears(response(2));
  talk.hears(update("rc", -1));
  talk.hears(response(1));
  talk.hears(complete());
  CHECK(talk.told() == "answered 2 None; a rc -1; answered 1 None; a complete");
  const Value old = map({{"op", text("complete")}, {"seq_number", 9}, {"command_id", text("old-7")}, {"args", {}}});
  check_harmless(talk->feed(binary(old)));
}

// --- files

TEST_CASE("over a WebSocket, a worker reads a file part by part, and each part is given once") {
  LoggedIn talk;
  talk->start("a", download);
  talk.sent();
  talk->give("a", "unasked");
  CHECK(talk.sent().empty());
  talk.hears(call("update_read_file", {{"length", 1}}));
  CHECK(talk.told() == "a reads 1");
  CHECK(talk.sent().empty());
  talk->give("a", Bytes("\0", 1));
  talk->give("a", "again");
  CHECK(talk.sent() == "{'op': 'response', 'seq_number': 50, 'result': b'\\x00'}");
  talk.hears(call("update_read_file", {{"length", std::int64_t{1} << 40U}}));
  CHECK(talk.told() == "a reads " + std::to_string(block_size));
  talk->give("a", Bytes(static_cast<std::size_t>(block_size), 'x'));
  CHECK(talk->take_output().size() > static_cast<std::size_t>(block_size));
  talk.hears(call("update_read_file", {{"length", 16}}));
  talk->give("a", "");
  CHECK(talk.sent() == "{'op': 'response', 'seq_number': 50, 'result': b''}");
  talk.hears(call("update_read_file_close"));
  CHECK(talk.sent() == "{'op': 'response', 'seq_number': 50, 'result': None}");
  talk.hears(complete());
  CHECK(talk.told() == "a reads 16; a complete");
}

TEST_CASE("over a WebSocket, a worker sends a file part by part, and waits until each is taken") {
  LoggedIn talk;
  talk->start("a", upload);
  talk.sent();
  talk.hears(call("update_upload_file_write", {{"args", Value::bytes(Bytes("\0z", 2))}}));
  CHECK(talk.told() == "a writes \\x00z");
  CHECK(talk.sent().empty());
  talk->took("a");
  talk->took("a");
  CHECK(talk.sent() == "{'op': 'response', 'seq_number': 50, 'result': None}");
  talk.hears(call("update_upload_file_write", {{"args", Value::bytes("")}}));
  CHECK(talk.told() == "a writes ");
  talk->took("a");
  talk.hears(call("update_upload_file_close"));
  CHECK(talk.sent_messages().size() == 2);
  CHECK(talk.told().empty());
}

TEST_CASE("over a WebSocket, an answer for a command that is over is dropped") {
  LoggedIn talk;
  talk->start("a", download);
  talk.hears(call("update_read_file", {{"length", 1}}));
  talk.hears(complete());
  CHECK(talk.told() == "a reads 1; a complete");
  talk.sent();
  talk->give("a", "late");
  talk->took("a");
  talk->give("nobody", "x");
  CHECK(talk.sent().empty());
}

// --- what a worker may not say

namespace {

enum class Stage {
  in,       // it is logged in, and request 0 is answered
  asked,    // request 1 is open
  running,  // "a" runs: request 1 is its start
  reading,  // "a" waits for a part of a file
  writing,  // "a" waits until a part of a file is taken
  over,     // "a" is complete
};

void bring(Talk& talk, Stage stage) {
  talk->ping();
  talk.hears(response(0));
  if (stage == Stage::asked) talk->ping();
  if (stage >= Stage::running) talk->start("a", look);
  if (stage == Stage::reading) talk.hears(call("update_read_file", {{"length", 1}}));
  if (stage == Stage::writing) talk.hears(call("update_upload_file_write", {{"args", Value::bytes("x")}}));
  if (stage == Stage::over) talk.hears(complete());
}

struct Wrong {
  std::string title;
  Stage stage;
  Bytes said;
};

void check_refused(const std::vector<Wrong>& cases) {
  for (const Wrong& one : cases) {
    CAPTURE(one.title);
    LoggedIn talk;
    bring(talk, one.stage);
    talk.told();
    check_harmless(talk->feed(one.said));
    CHECK(talk.told().empty());
  }
}

Value nested(int depth) {
  Value value;
  for (int i = 0; i < depth; ++i) value = Value::list({std::move(value)});
  return value;
}

/// The answer to request 1 with a result that is these bytes.
Bytes result_of(const char* hex) {
  Bytes message = to_msgpack(response(1)).value();
  message.pop_back();
  return frame_of(message + test::from_hex(hex));
}

}  // namespace

TEST_CASE("over a WebSocket, only whole binary messages of msgpack are taken") {
  Bytes unmasked = frame(0x82, "");
  unmasked[1] = '\0';
  const Bytes good = to_msgpack(response(1)).value();
  check_refused({
      {"a text", Stage::asked, frame(0x81, "{}")},
      {"a text that is a message", Stage::asked, frame(0x81, good)},
      {"a frame without a mask", Stage::in, unmasked},
      {"a reserved opcode", Stage::in, frame(0x83, "")},
      {"a reserved bit", Stage::in, frame(0xc2, "")},
      {"a long ping", Stage::in, frame(0x89, Bytes(126, 'x'))},
      {"a fragment of nothing", Stage::in, frame(0x80, "")},
      {"a frame of 16 MiB and a byte", Stage::in, test::from_hex("82ff 0000000001000001")},
      {"an empty message", Stage::in, frame_of("")},
      {"half a message", Stage::asked, frame_of(BytesView(good).substr(0, good.size() - 1))},
      {"a message and more", Stage::asked, frame_of(good + "\xc0")},
      {"a second request for a WebSocket", Stage::in, login("w1:pw1")},
      {"an extension type", Stage::asked, result_of("d40100")},
      {"a time", Stage::asked, result_of("d6ff00000000")},
      {"a byte that means nothing", Stage::asked, result_of("c1")},
      {"a text that is not UTF-8", Stage::asked, result_of("a20aff")},
      {"a key that is a number", Stage::asked, result_of("810101")},
      {"a key that is an array", Stage::asked, result_of("819001")},
      {"an array that is only announced", Stage::asked, result_of("ddffffffff")},
      {"a map that is only announced", Stage::asked, result_of("dfffffffff")},
      {"bytes that are only announced", Stage::asked, result_of("c6ffffffff")},
      {"deep arrays", Stage::asked, frame_of(Bytes(40, '\x91') + "\xc0")},
  });
}

TEST_CASE("over a WebSocket, the largest message may be announced, and one of 31 arrays in each other is read") {
  LoggedIn talk;
  talk.hears_bytes(test::from_hex("82ff 0000000001000000"));
  LoggedIn other;
  other->ping();
  other.hears(response(0, nested(31)));
  CHECK(other.told().starts_with("answered 0 [[["));
}

TEST_CASE("over a WebSocket, only answers to open requests are taken, and messages with an op and a number") {
  const auto numbered = [](Value number) {
    return binary(map({{"op", text("response")}, {"seq_number", std::move(number)}, {"result", {}}}));
  };
  check_refused({
      {"nil", Stage::in, binary(Value())},
      {"an array", Stage::in, binary(Value::list({text("op"), text("response")}))},
      {"an empty map", Stage::in, binary(map({}))},
      {"no op", Stage::asked, binary(map({{"seq_number", 1}, {"result", {}}}))},
      {"no number", Stage::asked, binary(map({{"op", text("response")}, {"result", {}}}))},
      {"an op of bytes", Stage::asked, binary(map({{"op", Value::bytes("response")}, {"seq_number", 1}}))},
      {"a key of bytes", Stage::asked,
       binary(Value::dict({{Value::bytes("op"), text("response")}, {text("seq_number"), 1}}))},
      {"a number that is a text", Stage::asked, numbered(text("1"))},
      {"a number that is a float", Stage::asked, numbered(1.0)},
      {"a number that is a bool", Stage::asked, numbered(true)},
      {"a negative number", Stage::asked, numbered(-1)},
      {"a number over 63 bits", Stage::asked, numbered(std::uint64_t{1} << 63U)},
      {"a second answer", Stage::in, binary(response(0))},
      {"a failure after the answer", Stage::in, binary(exception(0, text("no")))},
      {"an answer that nobody asked for", Stage::in, binary(response(1))},
      {"the answer to the next request", Stage::asked, binary(response(2))},
  });
}

TEST_CASE("over a WebSocket, only calls for commands that run are taken, with their arguments") {
  const auto without_number = map({{"op", text("update")}, {"command_id", text("a")}, {"args", Value::list({})}});
  const auto for_id = [](Value id) {
    return binary(map({{"op", text("complete")}, {"seq_number", 5}, {"command_id", std::move(id)}, {"args", {}}}));
  };
  check_refused({
      {"an unknown op", Stage::running, binary(call("auth"))},
      {"an op with controls", Stage::running, binary(call("\x1b[2J\n\x7f\u202e"))},
      {"a long op", Stage::running, binary(call(std::string(5000, '\n').c_str()))},
      {"an op of ours", Stage::running, binary(call("start_command"))},
      {"a keepalive", Stage::in, binary(map({{"op", text("keepalive")}, {"seq_number", 5}}))},
      {"an update without a number", Stage::running, binary(without_number)},
      {"no id", Stage::running, binary(map({{"op", text("complete")}, {"seq_number", 5}, {"args", {}}}))},
      {"another id", Stage::running, for_id(text("b"))},
      {"an empty id", Stage::running, for_id(text(""))},
      {"an id of bytes", Stage::running, for_id(Value::bytes("a"))},
      {"an id that is a number", Stage::running, for_id(0)},
      {"a command before there is one", Stage::in, binary(complete())},
      {"an update after the end", Stage::over, binary(update("rc", 0))},
      {"a second end", Stage::over, binary(complete())},
      {"a close after the end", Stage::over, binary(call("update_read_file_close"))},
      {"a read after the end", Stage::over, binary(call("update_read_file", {{"length", 1}}))},
      {"times that nobody wants", Stage::running,
       binary(call("update_upload_file_utime", {{"access_time", 0.5}, {"modified_time", 0.5}}))},
      {"a directory that nobody wants", Stage::running,
       binary(call("update_upload_directory_write", {{"args", Value::bytes("x")}}))},
      {"an update without a list", Stage::running, binary(call("update"))},
      {"an update of a map", Stage::running, binary(call("update", {{"args", map({})}}))},
      {"an update of a text", Stage::running, binary(updates({text("rc")}))},
      {"an update of one", Stage::running, binary(updates({Value::list({text("rc")})}))},
      {"an update of three", Stage::running, binary(updates({Value::list({text("rc"), 0, 0})}))},
      {"an update whose name is bytes", Stage::running, binary(updates({Value::list({Value::bytes("rc"), 0})}))},
      {"output of a text", Stage::running, binary(update("stdout", text("x")))},
      {"output of nothing", Stage::running, binary(update("stderr", Value::list({})))},
      {"output of bytes", Stage::running, binary(update("header", Value::list({Value::bytes("x")})))},
      {"a log file of a text", Stage::running, binary(update("log", text("x")))},
      {"a log file of one", Stage::running, binary(update("log", Value::list({text("x")})))},
      {"a log file of three", Stage::running, binary(update("log", Value::list({text("x"), output("y"), 0})))},
      {"a log file without output", Stage::running, binary(update("log", Value::list({text("x"), text("y")})))},
      {"a log file of bytes", Stage::running,
       binary(update("log", Value::list({text("x"), Value::list({Value::bytes("y")})})))},
      {"a log file whose name is bytes", Stage::running,
       binary(update("log", Value::list({Value::bytes("x"), output("y")})))},
      {"a read without a length", Stage::running, binary(call("update_read_file"))},
      {"a read of 0", Stage::running, binary(call("update_read_file", {{"length", 0}}))},
      {"a read of a negative length", Stage::running, binary(call("update_read_file", {{"length", -1}}))},
      {"a read of a text", Stage::running, binary(call("update_read_file", {{"length", text("1")}}))},
      {"a part without bytes", Stage::running, binary(call("update_upload_file_write"))},
      {"a part of text", Stage::running, binary(call("update_upload_file_write", {{"args", text("x")}}))},
      {"a second read", Stage::reading, binary(call("update_read_file", {{"length", 1}}))},
      {"a write beside a read", Stage::reading,
       binary(call("update_upload_file_write", {{"args", Value::bytes("x")}}))},
      {"a second write", Stage::writing, binary(call("update_upload_file_write", {{"args", Value::bytes("x")}}))},
      {"a read beside a write", Stage::writing, binary(call("update_read_file", {{"length", 1}}))},
  });
}

}  // namespace msgpack_session_test
