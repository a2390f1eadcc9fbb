// The session with a worker that speaks msgpack over a WebSocket: after a right login, whatever it sends, each command
// ends once, its file waits for one part at a time, and no more is told than has come.
#include "buildbot/msgpack_session.hpp"

#include "buildbot/msgpack.hpp"
#include "fuzz/input.hpp"
#include "support/client_frame.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace remsh;
using namespace remsh::buildbot;

namespace {

using Kind = WorkerCommand::Kind;
using Said = WorkerEvent::Kind;

constexpr std::array<std::string_view, 20> words{"response",
                                                 "update",
                                                 "complete",
                                                 "update_read_file",
                                                 "update_upload_file_write",
                                                 "update_read_file_close",
                                                 "update_upload_file_close",
                                                 "stdout",
                                                 "stderr",
                                                 "header",
                                                 "log",
                                                 "rc",
                                                 "op",
                                                 "seq_number",
                                                 "command_id",
                                                 "args",
                                                 "length",
                                                 "result",
                                                 "1",
                                                 "\x1b\n\x7f"};

/// A word that is UTF-8, as all texts that can be written.
Value text(BytesView word) {
  Bytes clean;
  for (const char c : word) clean += static_cast<unsigned char>(c) < 0x80 ? c : '?';
  return Value::text(std::move(clean));
}

Value any(fuzz::Input& input, int depth) {
  const std::size_t kind = input.below(depth > 0 ? 12 : 7);
  std::vector<Value> items;
  if (kind >= 7) {
    for (std::size_t count = input.below(5); items.size() < count;) items.push_back(any(input, depth - 1));
  }
  switch (kind) {
    case 0: return {};
    case 1: return static_cast<std::int64_t>(input.byte()) - 2;
    case 2: return text(input.word(words));
    case 3: return Value::bytes(Bytes(input.bytes(20)));
    case 4: return input.flag();
    case 5: return 0.5;
    case 6: return std::uint64_t{1} << (input.byte() % 64U);
    case 7:
    case 8:
    case 9: return Value::list(std::move(items));
    default: {
      Value::Dict dict;
      for (Value& item : items) {
        dict.keys.push_back(text(input.word(words)));
        dict.values.push_back(std::move(item));
      }
      return Value::What(std::move(dict));
    }
  }
}

/// How much a value holds.
std::size_t weight(const Value& value) {
  std::size_t all = 1;
  const auto add = [&all](const std::vector<Value>& values) {
    for (const Value& one : values) all += weight(one);
  };
  if (const auto* const list = value.get_if<Value::List>()) add(list->items);
  if (const auto* const dict = value.get_if<Value::Dict>()) {
    add(dict->keys);
    add(dict->values);
  }
  return all;
}

class Script {
 public:
  explicit Script(fuzz::Input& input) : input_(input) {
    const auto check = [](std::string_view, const std::function<bool(std::string_view)>& proves) {
      return proves("p");
    };
    session_ = make_msgpack_session(check);
    const auto fed = session_->feed(
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nAuthorization: Basic dzpw\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
    REMSH_EXPECT(fed.ok());
    const auto event = session_->next();
    REMSH_EXPECT(event && event->kind == Said::logged_in && !session_->next());
    REMSH_EXPECT(session_->take_output().starts_with("HTTP/1.1 101 "));
    open_.insert(session_->prepare());
  }

  void run() {
    while (!input_.empty()) {
      act();
      take_output();  // first: what was asked is answered later
      take_events();
    }
  }

 private:
  void act() {
    switch (input_.below(14)) {
      case 0:
      case 1: return start();
      case 2: return static_cast<void>(session_->interrupt(some_id(), "why"));
      case 3: return answer_file(true);
      case 4: return answer_file(false);
      case 5: return ask();
      case 6: return answer();
      case 7:
      case 8: return update();
      case 9: return call("complete", "args", input_.flag() ? Value() : any(input_, 2));
      case 10: return call("update_read_file", "length", static_cast<std::int64_t>(input_.byte()));
      case 11: return call("update_upload_file_write", "args", Value::bytes(Bytes(input_.bytes(20))));
      case 12: return feed_any();
      default: {
        const std::uint8_t pieces = input_.byte();
        return feed_bytes(input_.bytes(80), pieces);
      }
    }
  }

  // --- what we say

  void start() {
    if (commands_.size() > 80) return;
    constexpr std::array<Kind, 4> kinds{Kind::shell, Kind::upload_file, Kind::download_file, Kind::stat};
    const std::string id = std::to_string(++last_id_);
    commands_.emplace(id, false);
    const auto request = session_->start(id, {.kind = kinds[input_.below(kinds.size())], .path = "/w"});
    open_.insert(request);
    starts_.emplace(request, id);
  }

  /// Mostly of a command that is not over.
  std::string some_id() { return std::to_string(input_.below(last_id_ + 2)); }

  void answer_file(bool gives) {
    const std::string id = some_id();
    const auto found = commands_.find(id);
    const bool is_due = found != commands_.end() && std::exchange(found->second, false);
    take_output();
    if (gives) {
      session_->give(id, input_.bytes(20));
    } else {
      session_->took(id);
    }
    REMSH_EXPECT(take_output() == (is_due ? 1 : 0));
  }

  void ask() {
    switch (input_.below(3)) {
      case 0: open_.insert(session_->ping()); break;
      case 1: open_.insert(session_->print("p")); break;
      default: open_.insert(session_->read_info());
    }
  }

  // --- what the worker says

  void call(BytesView op, const char* key, Value value) {
    feed(Value::dict({{Value::text("op"), text(op)},
                      {Value::text("seq_number"), ++last_call_},
                      {Value::text("command_id"), Value::text(some_id())},
                      {Value::text(key), std::move(value)}}));
  }

  void update() {
    Value output = any(input_, 3);
    if (input_.flag()) output = Value::list({text(input_.word(words)), Value::list({}), Value::list({})});
    if (input_.flag()) output = Value::list({text(input_.word(words)), std::move(output)});
    call("update", "args", Value::list({Value::list({text(input_.word(words)), std::move(output)})}));
  }

  void answer() {
    Value::Dict dict;
    const auto add = [&dict](const char* key, Value value) {
      dict.keys.push_back(Value::text(key));
      dict.values.push_back(std::move(value));
    };
    add("op", Value::text("response"));
    add("seq_number", static_cast<std::int64_t>(input_.below(last_request_ + 2)));
    if (input_.flag()) add("is_exception", true);
    add("result", any(input_, 3));
    feed(Value::What(std::move(dict)));
  }

  void feed_any() {
    if (input_.flag()) {
      const Bytes op = input_.word(words);
      return call(op, "args", any(input_, 3));
    }
    if (input_.flag()) return feed(any(input_, 4));
    const std::uint8_t pieces = input_.byte();
    const unsigned first = input_.byte();
    feed_bytes(test::client_frame(first, input_.bytes(80)), pieces);
  }

  void feed(const Value& message) { feed_bytes(test::client_frame(0x82, to_msgpack(message).value()), 0); }

  void feed_bytes(BytesView bytes, std::uint8_t pieces) {
    fuzz::in_pieces(bytes, pieces, [this](BytesView piece) {
      if (is_broken_) return;
      fed_ += piece.size();
      const auto fed = session_->feed(piece);
      if (fed) return;
      is_broken_ = true;
      const Errc code = fed.failure().code;
      REMSH_EXPECT(code == Errc::protocol_error || code == Errc::connection_lost);
      REMSH_EXPECT(fed.failure().message.size() < 1000);
      fuzz::expect_printable(fed.failure().message);
    });
  }

  // --- what comes of it

  void take_events() {
    while (const auto event = session_->next()) {
      told_ += 1 + weight(event->kind == Said::update ? event->update.value : event->value);
      take(*event);
    }
    REMSH_EXPECT(told_ <= fed_);
  }

  void take(const WorkerEvent& event) {
    switch (event.kind) {
      case Said::rejected:
      case Said::dropped:
      case Said::logged_in:
      case Said::asks_release: return REMSH_EXPECT(false);
      case Said::answered:
      case Said::failed: {
        REMSH_EXPECT(open_.erase(event.request) == 1);
        const auto start = starts_.extract(event.request);
        if (start && event.kind == Said::failed) commands_.erase(start.mapped());
        return;
      }
      case Said::update: return REMSH_EXPECT(commands_.contains(event.command));
      case Said::complete: return REMSH_EXPECT(commands_.erase(event.command) == 1);
      case Said::reads:
      case Said::writes: {
        const auto command = commands_.find(event.command);
        REMSH_EXPECT(command != commands_.end() && !std::exchange(command->second, true));
        if (event.kind == Said::reads) {
          REMSH_EXPECT(event.size > 0 && event.size <= static_cast<std::size_t>(block_size));
        }
      }
    }
  }

  /// Returns how many answers were sent.
  int take_output() {
    const Bytes sent = session_->take_output();
    int answers = 0;
    for (BytesView rest = sent; !rest.empty();) {
      REMSH_EXPECT(rest.size() >= 2);
      const auto length = static_cast<unsigned char>(rest[1]);
      REMSH_EXPECT(length < 127);
      const std::size_t more = length == 126 ? 2 : 0;
      REMSH_EXPECT(rest.size() >= 2 + more);
      const std::size_t size =
          more == 0 ? length
                    : std::size_t{static_cast<unsigned char>(rest[2])} << 8U | static_cast<unsigned char>(rest[3]);
      REMSH_EXPECT(rest.size() >= 2 + more + size);
      const auto first = static_cast<unsigned char>(rest[0]);
      REMSH_EXPECT(first == 0x82 || first == 0x8a);
      if (first == 0x82) answers += take_message(rest.substr(2 + more, size));
      rest.remove_prefix(2 + more + size);
    }
    return answers;
  }

  int take_message(BytesView payload) {
    const auto message = from_msgpack(payload);
    REMSH_EXPECT(message.ok());
    const Value* const op = message->find(Value::text("op"));
    REMSH_EXPECT(op != nullptr);
    if (*op == Value::text("response")) return 1;
    const Value* const number = message->find(Value::text("seq_number"));
    REMSH_EXPECT(number != nullptr && *number == Value(last_request_++));  // they are counted from 0
    open_.insert(last_request_ - 1);                                       // of an interrupt, nobody else knows it
    return 0;
  }

  fuzz::Input& input_;
  std::unique_ptr<WorkerSession> session_;
  bool is_broken_ = false;
  std::size_t fed_ = 0;
  std::size_t told_ = 0;
  std::size_t last_id_ = 0;
  std::int64_t last_call_ = 100;
  std::uint64_t last_request_ = 0;  // one more than it
  std::set<std::uint64_t> open_;
  std::map<std::uint64_t, std::string> starts_;
  std::map<std::string, bool> commands_;  // that are not over: whether the worker waits for a part of a file
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  Script(input).run();
  return 0;
}
