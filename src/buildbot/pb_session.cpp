// What a worker may say: the login; then answers to open requests, and calls of the objects that it was given: the
// avatar (its account at the master), and for each command one that gets its updates and one for the bytes of a file.
#include "buildbot/pb_session.hpp"

#include "base/digest.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "buildbot/banana.hpp"
#include "buildbot/jelly.hpp"
#include "buildbot/pb_builders.hpp"
#include "buildbot/pb_message.hpp"

#include <algorithm>
#include <map>
#include <span>

namespace remsh::buildbot {

namespace {

using Said = WorkerEvent::Kind;
using List = Expression::List;

/// Before its login a worker needs no more than this.
constexpr BananaLimits stranger{.string = 1024, .elements = 64, .bytes = 4096, .depth = 8};
constexpr BananaLimits known{.bytes = WorkerSession::max_message};

constexpr std::int64_t challenger = 1;  // our object that takes the answer to the challenge
constexpr std::int64_t avatar = 2;

Expression jelly_of(const Value& value) { return to_jelly(value).value(); }  // all that is sent here has one

class PbSession final : public WorkerSession {
 public:
  PbSession(LoginCheck check, Bytes challenge) : check_login_(std::move(check)), challenge_(std::move(challenge)) {
    append_banana(output(), Expression::list("pb", "none"), Vocabulary::none);
  }

  Result<void> feed(BytesView bytes) override;
  void reject() override;
  void admit() override { send(Expression::list("answer", respond_, remote(avatar))); }

  std::uint64_t read_info() override { return ask(mind_, "getWorkerInfo"); }
  std::uint64_t prepare() override { return ask_for_builder(); }
  std::uint64_t print(std::string_view message) override {
    return ask(mind_, "print", jelly_tuple(),
               Expression::list("dictionary", Expression::list(jelly_text("message"), jelly_text(message))));
  }
  std::uint64_t ping() override { return ask(builders_.any(), "startBuild"); }  // it does nothing
  std::uint64_t shut_down() override { return ask(mind_, "shutdown"); }
  std::uint64_t start(const std::string& id, const WorkerCommand& command) override;
  std::uint64_t interrupt(const std::string& id, std::string_view why) override;
  [[nodiscard]] bool leaves_commands() const noexcept override { return false; }

  void give(const std::string& id, BytesView bytes) override { answer_file(id, Bytes(bytes)); }
  void took(const std::string& id) override { answer_file(id, jelly_of({})); }

 private:
  enum class State : std::uint8_t { dialect, version, login, respond, rejected, in_use };
  enum class Role : std::uint8_t { updates, file };

  struct Object {
    Role role;
    std::string command;
  };
  /// A command that is not complete.
  struct Command {
    std::int64_t object = 0;                     // of ours that gets its updates; 0: it has not begun
    std::int64_t file = 0;                       // of ours for the bytes of its file; 0: none
    std::optional<std::int64_t> file_call = {};  // reads or writes, not answered yet
  };
  /// A call as it has come.
  struct Call {
    std::int64_t request;
    std::int64_t object;
    BytesView method;
    bool wants_answer;
    std::span<const Expression> arguments;
  };

  Result<void> take(Expression expression);
  Result<void> take_message(List list);
  Result<void> take_answer(List list, bool is_failure);
  Result<void> take_login(const List& list, std::span<const Expression> arguments);
  Result<void> take_response(const Call& call);
  Result<void> take_call(const Call& call);
  Result<void> take_update(const Call& call, const std::string& id);
  Result<void> take_complete(const Call& call, const std::string& id);
  Result<void> take_file_call(const Call& call, const std::string& id);

  std::uint64_t ask(std::int64_t object, const char* method, Expression arguments = jelly_tuple(),
                    Expression keywords = Expression::list("dictionary"));
  std::uint64_t ask_for_builder();
  void begin_waiting();
  void begin(const PbBuilders::Begun& begun);
  void end(const std::string& id);
  void send(const Expression& expression) { append_banana(output(), expression); }
  void answer(const Call& call, const Expression& value) {
    if (call.wants_answer) send(Expression::list("answer", call.request, value));
  }
  void answer_file(const std::string& id, const Expression& value);

  const LoginCheck check_login_;
  const Bytes challenge_;
  State state_ = State::dialect;
  BananaReader reader_{stranger};
  std::int64_t respond_ = -1;  // the call with the answer to the challenge
  std::int64_t mind_ = 0;      // the worker's object for its master
  std::uint64_t last_request_ = 0;
  std::map<std::uint64_t, std::string> requests_;  // open ones; of a start, the id of its command
  std::optional<std::uint64_t> builders_request_;  // open
  std::int64_t last_object_ = avatar;
  std::map<std::int64_t, Object> objects_;  // of commands
  std::map<std::string, Command> commands_;
  PbBuilders builders_;
};

// --- what the worker says

Result<void> PbSession::feed(BytesView bytes) {
  reader_.feed(bytes);
  for (;;) {
    auto expression = reader_.next();
    if (!expression) return std::move(expression).failure();
    if (!*expression) return {};
    if (auto taken = take(std::move(**expression)); !taken) return taken;
  }
}

Result<void> PbSession::take(Expression expression) {
  if (state_ == State::dialect) {
    const auto* const dialect = expression.get_if<Bytes>();
    if (dialect == nullptr || *dialect != "pb") return breach("it does not choose the dialect pb");
    send(Expression::list("version", 6));
    state_ = State::version;
    return {};
  }
  auto* const list = std::get_if<List>(&expression.what());
  if (list == nullptr) return breach("it has sent no list");
  const BytesView word = word_in(*list, 0);
  if (word == "version") {
    if (state_ != State::version || number_in(*list, 1) != 6)
      return breach("it does not speak version 6 of the protocol");
    state_ = State::login;
    return {};
  }
  if (word == "message") return take_message(std::move(*list));
  if (word == "decref") return {};  // our objects live as long as their commands
  const bool is_failure = word == "error";
  if ((word == "answer" || is_failure) && state_ == State::in_use) return take_answer(std::move(*list), is_failure);
  return breach(formatted("it has sent {}, which a worker cannot", start_in_quotes(word)));
}

Result<void> PbSession::take_message(List list) {
  if (list.size() != 7) return breach("it has sent a call of another form");
  auto plain = as_written(std::move(list[5]));
  if (!plain) return std::move(plain).failure();
  const auto arguments = items_of_tuple(*plain);
  const Call call{.request = number_in(list, 1),
                  .object = number_in(list, 2),
                  .method = word_in(list, 3),
                  .wants_answer = number_in(list, 4) == 1,
                  .arguments = arguments.value_or(std::span<const Expression>())};
  if (!arguments || call.request < 0) return breach("it has sent a call of another form");
  if (state_ == State::login) return take_login(list, call.arguments);
  if (state_ == State::respond) return take_response(call);
  if (state_ != State::in_use) return breach("it calls before its time");
  return take_call(call);
}

Result<void> PbSession::take_login(const List& list, std::span<const Expression> arguments) {
  const auto* const name = arguments.size() == 1 ? arguments[0].get_if<Bytes>() : nullptr;
  const bool is_login = word_in(list, 2) == "root" && word_in(list, 3) == "login" && number_in(list, 4) == 1;
  if (!is_login || name == nullptr) return breach("it calls before it has logged in");
  set_name(*name);
  send(Expression::list("answer", number_in(list, 1), jelly_tuple(challenge_, remote(challenger))));
  state_ = State::respond;
  return {};
}

Result<void> PbSession::take_response(const Call& call) {
  const auto* const response = call.arguments.size() == 2 ? call.arguments[0].get_if<Bytes>() : nullptr;
  const auto mind = response != nullptr ? remote_of(call.arguments[1]) : std::nullopt;
  if (call.object != challenger || call.method != "respond" || !call.wants_answer || !mind) {
    return breach("it does not answer the challenge");
  }
  respond_ = call.request;
  mind_ = *mind;
  const bool is_right = check_login_(name(), [&](std::string_view password) {
    const auto inner = digest(Hash::md5, password);
    const auto wanted = inner ? digest(Hash::md5, *inner + challenge_) : std::nullopt;
    return wanted && !password.empty() && are_equal(*wanted, *response);
  });
  state_ = is_right ? State::in_use : State::rejected;
  if (is_right) reader_.set_limits(known);
  tell({.kind = is_right ? Said::logged_in : Said::rejected});
  return {};
}

void PbSession::reject() {
  // Any other class of failure, or type of exception, makes a worker give up for good.
  if (respond_ >= 0) send(Expression::list("error", respond_, failure("twisted.cred.error.UnauthorizedLogin", "")));
}

Result<void> PbSession::take_answer(List list, bool is_failure) {
  const std::int64_t number = number_in(list, 1);
  const auto open = list.size() == 3 && number > 0 ? requests_.extract(static_cast<std::uint64_t>(number))
                                                   : decltype(requests_)::node_type();
  if (!open) return breach("it has answered a request that is not open");
  WorkerEvent event{.kind = Said::answered, .request = open.key()};
  const bool is_of_builders = builders_request_ == open.key();
  if (is_of_builders) builders_request_.reset();
  auto plain = as_written(std::move(list[2]));
  if (!plain) return std::move(plain).failure();
  if (is_failure) {
    event.kind = Said::failed;
    event.text = failure_text(*plain).value_or("the worker gives no reason");
    if (is_of_builders) return breach("it does not make builders: " + start_in_quotes(event.text));
    if (!open.mapped().empty()) {
      end(open.mapped());
      begin_waiting();
    }
  } else if (is_of_builders) {
    if (auto taken = builders_.take(*plain); !taken) return taken;
    begin_waiting();
  } else if (open.mapped().empty()) {
    auto value = from_jelly(*plain);
    if (!value) return std::move(value).failure();
    event.value = std::move(*value);
  }
  tell(std::move(event));
  return {};
}

Result<void> PbSession::take_call(const Call& call) {
  if (call.object == avatar) {
    answer(call, jelly_of({}));
    if (call.method == "keepalive") return {};
    if (call.method != "shutdown") return breach("it calls its avatar by another name");
    tell({.kind = Said::asks_release});
    return {};
  }
  const auto found = objects_.find(call.object);
  if (found == objects_.end()) return breach("it calls an object that is none of its commands");
  const Object object = found->second;  // the end of a command removes it
  if (object.role == Role::file) return take_file_call(call, object.command);
  if (call.method == "update") return take_update(call, object.command);
  if (call.method == "complete") return take_complete(call, object.command);
  return breach("it calls a command by another name");
}

Result<void> PbSession::take_update(const Call& call, const std::string& id) {
  answer(call, 0);
  if (call.arguments.size() != 1) return breach("it has sent an update without a list");
  return read_updates(call.arguments[0], [this, &id](WorkerUpdate update) {
    tell({.kind = Said::update, .command = id, .update = std::move(update)});
  });
}

Result<void> PbSession::take_complete(const Call& call, const std::string& id) {
  answer(call, jelly_of({}));
  WorkerEvent event{.kind = Said::complete, .command = id};
  if (call.arguments.size() != 1) return breach("it does not say how a command ended");
  const auto ended_well = from_jelly(call.arguments[0]);
  if (!ended_well || ended_well->get_if<Value::None>() == nullptr) {
    event.text = failure_text(call.arguments[0]).value_or("the worker gives no reason");
  }
  end(id);
  tell(std::move(event));
  begin_waiting();
  return {};
}

Result<void> PbSession::take_file_call(const Call& call, const std::string& id) {
  if (call.method == "close") {
    answer(call, jelly_of({}));
    return {};
  }
  Command& command = commands_.at(id);
  WorkerEvent event{.command = id};
  if (call.arguments.size() != 1 || !call.wants_answer) return breach("it does not ask for a part of a file");
  if (call.method == "read") {
    const auto* const size = call.arguments[0].get_if<std::int64_t>();
    if (size == nullptr || *size <= 0) return breach("it wants a part of a file without a length");
    event.kind = Said::reads;
    event.size = static_cast<std::size_t>(std::min(*size, block_size));
  } else if (call.method == "write") {
    const auto* const data = call.arguments[0].get_if<Bytes>();
    if (data == nullptr) return breach("it has sent a part of a file that is no bytes");
    event.kind = Said::writes;
    event.data = *data;
  } else {
    return breach("it calls a file by another name");
  }
  if (command.file_call) return breach("it does not wait for the answer about a part of a file");
  command.file_call = call.request;
  tell(std::move(event));
  return {};
}

// --- what we say

std::uint64_t PbSession::ask(std::int64_t object, const char* method, Expression arguments, Expression keywords) {
  const std::uint64_t number = ++last_request_;
  requests_.emplace(number, std::string());
  send(Expression::list("message", static_cast<std::int64_t>(number), object, method, 1, std::move(arguments),
                        std::move(keywords)));
  return number;
}

std::uint64_t PbSession::ask_for_builder() {
  builders_request_ = ask(mind_, "setBuilderList", jelly_tuple(builders_.add()));
  return *builders_request_;
}

std::uint64_t PbSession::start(const std::string& id, const WorkerCommand& command) {
  const std::uint64_t number = ++last_request_;
  commands_.emplace(id, Command());
  builders_.wait({number, id, command});
  begin_waiting();
  return number;
}

/// Gives free builders to the commands that wait. If there are not enough, asks for one more.
void PbSession::begin_waiting() {
  while (const auto begun = builders_.next()) begin(*begun);
  if (!builders_request_ && builders_.needs_more()) ask_for_builder();
}

void PbSession::begin(const PbBuilders::Begun& begun) {
  const PbBuilders::Waiting& waiting = begun.command;
  Command& command = commands_.at(waiting.id);
  command.object = ++last_object_;
  objects_.emplace(command.object, Object{Role::updates, waiting.id});
  NamedArguments named = named_arguments(Dialect::pb, waiting.command);
  List arguments{"dictionary"};
  for (const auto& [name, value] : named.arguments) {
    arguments.push_back(Expression::list(jelly_text(name), jelly_of(value)));
  }
  if (!named.file_argument.empty()) {
    command.file = ++last_object_;
    objects_.emplace(command.file, Object{Role::file, waiting.id});
    arguments.push_back(Expression::list(jelly_text(named.file_argument), remote(command.file)));
  }
  requests_.emplace(waiting.request, waiting.id);
  send(Expression::list("message", static_cast<std::int64_t>(waiting.request), begun.builder, "startCommand", 1,
                        jelly_tuple(remote(command.object), jelly_text(waiting.id), jelly_text(named.name),
                                    Expression(std::move(arguments))),
                        Expression::list("dictionary")));
}

void PbSession::end(const std::string& id) {
  const auto found = commands_.find(id);
  if (found == commands_.end()) return;
  objects_.erase(found->second.object);
  objects_.erase(found->second.file);
  commands_.erase(found);
  builders_.free(id);
}

std::uint64_t PbSession::interrupt(const std::string& id, std::string_view why) {
  if (const auto request = builders_.drop(id)) {  // it never begins
    commands_.erase(id);
    tell({.kind = Said::dropped, .command = id});
    tell({.kind = Said::failed, .request = *request, .text = "interrupted before it began"});
    return 0;
  }
  const auto builder = builders_.of(id);
  return builder ? ask(*builder, "interruptCommand", jelly_tuple(jelly_text(id), jelly_text(why))) : 0;
}

void PbSession::answer_file(const std::string& id, const Expression& value) {
  const auto command = commands_.find(id);
  if (command == commands_.end() || !command->second.file_call) return;  // it is over
  send(Expression::list("answer", *std::exchange(command->second.file_call, {}), value));
}

}  // namespace

std::unique_ptr<WorkerSession> make_pb_session(LoginCheck check, Bytes challenge) {
  return std::make_unique<PbSession>(std::move(check), std::move(challenge));
}

}  // namespace remsh::buildbot
