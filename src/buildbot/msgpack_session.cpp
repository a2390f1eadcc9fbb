// What a worker may say: the HTTP request with its name and password, then frames. Each is one map: an answer to a
// request that is open, or one of the calls of take_call(), for a command that runs.
#include "buildbot/msgpack_session.hpp"

#include "base/digest.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "buildbot/http_upgrade.hpp"
#include "buildbot/msgpack.hpp"
#include "buildbot/web_socket_frames.hpp"

#include <algorithm>
#include <map>

namespace remsh::buildbot {

namespace {

using Said = WorkerEvent::Kind;

/// Output comes at once, and in whole chunks: with the usual settings a worker holds it for 5 s, and loses parts of
/// lines of over 4,096 characters.
Value settings() {
  return Value::dict({{Value::text("buffer_size"), 64 * 1024},
                      {Value::text("buffer_timeout"), 0.05},
                      {Value::text("max_line_length"), std::int64_t{1} << 40U},
                      {Value::text("newline_re"), Value::text("(?!)")}});  // matches nothing: no character is replaced
}

std::optional<std::uint64_t> number_of(const Value& message, const char* key) {
  const Value* const value = message.find(Value::text(key));
  const auto* const number = value != nullptr ? value->get_if<std::int64_t>() : nullptr;
  if (number == nullptr || *number < 0) return std::nullopt;
  return static_cast<std::uint64_t>(*number);
}

const std::string* text_of(const Value* value) {
  const auto* const text = value != nullptr ? value->get_if<Value::Text>() : nullptr;
  return text != nullptr ? &text->text : nullptr;
}

const std::string* text_of(const Value& message, const char* key) { return text_of(message.find(Value::text(key))); }

class MsgpackSession final : public WorkerSession {
 public:
  explicit MsgpackSession(LoginCheck check) : check_login_(std::move(check)) {}

  Result<void> feed(BytesView bytes) override;
  void reject() override { output() += http_refusal(401); }

  std::uint64_t read_info() override { return ask("get_worker_info", {}); }
  std::uint64_t prepare() override { return ask("set_worker_settings", {{"args", settings()}}); }
  std::uint64_t print(std::string_view message) override {
    return ask("print", {{"message", Value::text(std::string(message))}});
  }
  std::uint64_t ping() override { return ask("keepalive", {}); }
  std::uint64_t shut_down() override { return ask("shutdown", {}); }
  std::uint64_t start(const std::string& id, const WorkerCommand& command) override;
  std::uint64_t interrupt(const std::string& id, std::string_view why) override {
    return ask("interrupt_command", {{"command_id", Value::text(id)}, {"why", Value::text(std::string(why))}});
  }
  [[nodiscard]] bool leaves_commands() const noexcept override { return true; }

  void give(const std::string& id, BytesView bytes) override { answer_file(id, Value::bytes(Bytes(bytes))); }
  void took(const std::string& id) override { answer_file(id, Value()); }

 private:
  using Fields = std::vector<std::pair<const char*, Value>>;

  /// A command that is not complete.
  struct Command {
    std::optional<std::uint64_t> file_call = {};  // reads or writes, not answered yet
  };

  Result<void> log_in(BytesView bytes);
  Result<void> take_frame(const WebSocketMessage& frame);
  Result<void> take_message(const Value& message);
  Result<void> take_answer(const Value& message, std::uint64_t number);
  Result<void> take_call(const Value& message, const std::string& op, std::uint64_t number);
  Result<void> take_updates(const std::string& id, const Value* args);
  Result<void> take_file_call(const std::string& id, const Value& message, const std::string& op, std::uint64_t number);

  std::uint64_t ask(const char* op, Fields fields);
  void answer(std::uint64_t number, Value result);
  void answer_file(const std::string& id, Value result);
  void send(const char* op, std::uint64_t number, Fields&& fields);

  const LoginCheck check_login_;
  std::optional<UpgradeReader> upgrade_{std::in_place};  // until it has logged in
  bool is_checked_ = false;
  bool is_web_socket_ = false;
  FrameReader frames_{max_message};
  std::uint64_t next_request_ = 0;
  std::map<std::uint64_t, std::string> requests_;  // open ones; of a start, the id of its command
  std::map<std::string, Command> commands_;
};

// --- the login

Result<void> MsgpackSession::feed(BytesView bytes) {
  if (!is_web_socket_) return log_in(bytes);
  frames_.feed(bytes);
  for (;;) {
    auto frame = frames_.next();
    if (!frame) return std::move(frame).failure();
    if (!*frame) return {};
    if (auto taken = take_frame(**frame); !taken) return taken;
  }
}

Result<void> MsgpackSession::log_in(BytesView bytes) {
  if (is_checked_) return breach("it goes on after it was rejected");
  switch (upgrade_->feed(bytes)) {
    case UpgradeReader::State::need_more: return {};
    case UpgradeReader::State::refused: output() += http_refusal(upgrade_->status()); return breach(upgrade_->why());
    case UpgradeReader::State::complete: break;
  }
  set_name(upgrade_->user());
  is_checked_ = true;
  const bool is_right = check_login_(name(), [this](std::string_view password) {
    return !password.empty() && are_equal(password, upgrade_->password());
  });
  if (!is_right) {
    tell({.kind = Said::rejected});
    return {};
  }
  auto answered = upgrade_->answer();
  if (!answered) return std::move(answered).failure();
  output() += *answered;
  is_web_socket_ = true;
  tell({.kind = Said::logged_in});
  const Bytes rest(upgrade_->rest());
  upgrade_.reset();  // and the password in it
  return feed(rest);
}

// --- what the worker says

Result<void> MsgpackSession::take_frame(const WebSocketMessage& frame) {
  switch (frame.kind) {
    case WebSocketMessage::Kind::ping: append_frame(output(), WebSocketMessage::Kind::pong, frame.payload); return {};
    case WebSocketMessage::Kind::pong: return {};
    case WebSocketMessage::Kind::close: return Failure{Errc::connection_lost, "it has closed its WebSocket", 0};
    case WebSocketMessage::Kind::text: return breach("it has sent a message of text");
    case WebSocketMessage::Kind::binary: break;
  }
  const auto message = from_msgpack(frame.payload);
  if (!message) return message.failure();
  return take_message(*message);
}

Result<void> MsgpackSession::take_message(const Value& message) {
  const std::string* const op = text_of(message, "op");
  const auto number = number_of(message, "seq_number");
  if (op == nullptr || !number) return breach("it has sent a message without 'op' or 'seq_number'");
  return *op == "response" ? take_answer(message, *number) : take_call(message, *op, *number);
}

Result<void> MsgpackSession::take_answer(const Value& message, std::uint64_t number) {
  const auto open = requests_.extract(number);
  if (!open) return breach("it has answered a request that is not open");
  WorkerEvent event{.kind = Said::answered, .request = number};
  const Value* const result = message.find(Value::text("result"));
  if (message.find(Value::text("is_exception")) != nullptr) {
    event.kind = Said::failed;
    const std::string* const text = text_of(result);
    event.text = text != nullptr ? *text : "the worker gives no reason";
    commands_.erase(open.mapped());  // if it is the start of one
  } else if (result != nullptr) {
    event.value = *result;
  }
  tell(std::move(event));
  return {};
}

Result<void> MsgpackSession::take_call(const Value& message, const std::string& op, std::uint64_t number) {
  const std::string* const id = text_of(message, "command_id");
  if (id == nullptr || !commands_.contains(*id)) {
    return breach(formatted("it calls {} for a command that does not run", start_in_quotes(op)));
  }
  if (op == "update") {
    answer(number, {});
    return take_updates(*id, message.find(Value::text("args")));
  }
  if (op == "complete") {
    answer(number, {});
    const Value* const failure = message.find(Value::text("args"));
    const std::string* const text = text_of(failure);
    WorkerEvent event{.kind = Said::complete, .command = *id};
    if (failure == nullptr || failure->get_if<Value::None>() == nullptr) {
      event.text = text != nullptr && !text->empty() ? *text : "the worker gives no reason";
    }
    commands_.erase(*id);
    tell(std::move(event));
    return {};
  }
  if (op == "update_read_file_close" || op == "update_upload_file_close") {
    answer(number, {});
    return {};
  }
  return take_file_call(*id, message, op, number);
}

Result<void> MsgpackSession::take_updates(const std::string& id, const Value* args) {
  const auto* const updates = args != nullptr ? args->get_if<Value::List>() : nullptr;
  if (updates == nullptr) return breach("it has sent an update without a list");
  for (const Value& update : updates->items) {
    const auto* const pair = update.get_if<Value::List>();
    const std::string* const key = pair != nullptr && pair->items.size() == 2 ? text_of(pair->items.data()) : nullptr;
    if (key == nullptr) return breach("it has sent an update that is no pair");
    auto known = read_update(Dialect::msgpack, *key, pair->items[1]);
    if (!known) return std::move(known).failure();
    if (*known) tell({.kind = Said::update, .command = id, .update = std::move(**known)});
  }
  return {};
}

Result<void> MsgpackSession::take_file_call(const std::string& id, const Value& message, const std::string& op,
                                            std::uint64_t number) {
  Command& command = commands_.at(id);
  WorkerEvent event{.command = id};
  if (op == "update_read_file") {
    const auto length = number_of(message, "length");
    if (!length || *length == 0) return breach("it wants a part of a file without a length");
    event.kind = Said::reads;
    event.size = static_cast<std::size_t>(std::min<std::uint64_t>(*length, block_size));
  } else if (op == "update_upload_file_write") {
    const Value* const args = message.find(Value::text("args"));
    const auto* const data = args != nullptr ? args->get_if<Bytes>() : nullptr;
    if (data == nullptr) return breach("it has sent a part of a file that is no bytes");
    event.kind = Said::writes;
    event.data = *data;
  } else {
    return breach(formatted("it calls {}, which a worker cannot", start_in_quotes(op)));
  }
  if (command.file_call) return breach("it does not wait for the answer about a part of a file");
  command.file_call = number;
  tell(std::move(event));
  return {};
}

// --- what we say

std::uint64_t MsgpackSession::start(const std::string& id, const WorkerCommand& command) {
  commands_.emplace(id, Command());  // before it is sent: its first updates may come before the answer
  NamedArguments named = named_arguments(Dialect::msgpack, command);
  Value::Dict arguments;
  for (auto& [name, value] : named.arguments) {
    arguments.keys.push_back(Value::text(std::string(name)));
    arguments.values.push_back(std::move(value));
  }
  const std::uint64_t number = ask("start_command", {{"command_id", Value::text(id)},
                                                     {"command_name", Value::text(std::string(named.name))},
                                                     {"args", Value::What(std::move(arguments))}});
  requests_[number] = id;
  return number;
}

std::uint64_t MsgpackSession::ask(const char* op, Fields fields) {
  const std::uint64_t number = next_request_++;
  requests_.emplace(number, std::string());
  send(op, number, std::move(fields));
  return number;
}

void MsgpackSession::answer(std::uint64_t number, Value result) {
  send("response", number, {{"result", std::move(result)}});
}

void MsgpackSession::answer_file(const std::string& id, Value result) {
  const auto command = commands_.find(id);
  if (command == commands_.end() || !command->second.file_call) return;  // it is over
  answer(*std::exchange(command->second.file_call, {}), std::move(result));
}

void MsgpackSession::send(const char* op, std::uint64_t number, Fields&& fields) {
  Value::Dict message;
  const auto add = [&message](const char* key, Value value) {
    message.keys.push_back(Value::text(key));
    message.values.push_back(std::move(value));
  };
  add("op", Value::text(op));
  add("seq_number", number);
  for (auto& [key, value] : fields) add(key, std::move(value));
  // All that is sent here can be written.
  append_frame(output(), WebSocketMessage::Kind::binary, to_msgpack(Value::What(std::move(message))).value());
}

}  // namespace

std::unique_ptr<WorkerSession> make_msgpack_session(LoginCheck check) {
  return std::make_unique<MsgpackSession>(std::move(check));
}

}  // namespace remsh::buildbot
