// The session with a worker over Perspective Broker: after a right login, whatever it sends, each command ends once,
// its file waits for one part at a time, no two commands have the same builder, and no more is told than has come.
#include "buildbot/pb_session.hpp"

#include "base/digest.hpp"
#include "buildbot/banana.hpp"
#include "buildbot/jelly.hpp"
#include "fuzz/input.hpp"

#include <algorithm>
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
using List = Expression::List;
using Said = WorkerEvent::Kind;

const Bytes challenge = "0123456789abcdef";

constexpr std::array<std::string_view, 24> words{"update", "complete",  "read",    "write",     "close",  "utime",
                                                 "unpack", "keepalive", "login",   "respond",   "stdout", "stderr",
                                                 "header", "log",       "rc",      "remsh-1",   "answer", "error",
                                                 "decref", "local",     "version", "reference", "true",   "\x1b\n\xff"};

Expression text(std::string_view content) { return Expression::list("unicode", Bytes(content)); }
Expression none() { return Expression::list("None"); }
Expression of(const char* word, List items) { return items.insert(items.begin(), word), Expression(std::move(items)); }

/// An expression of any form, mostly one that jelly knows.
Expression any(fuzz::Input& input, int depth) {
  const std::size_t kind = input.below(depth > 0 ? 16 : 8);
  List items;
  if (kind > 8) {
    for (std::size_t count = input.below(5); items.size() < count;) items.push_back(any(input, depth - 1));
  }
  switch (kind) {
    case 0: return static_cast<std::int64_t>(input.byte()) - 2;
    case 1: return input.word(words);
    case 2: return text(input.word(words));
    case 3: return Expression::list("boolean", input.flag() ? "true" : "false");
    case 4: return remote(input.byte());
    case 5: return Expression::list("dereference", static_cast<std::int64_t>(input.below(4)));
    case 6: return 0.5;
    case 7: return none();
    case 8: return Expression::list("reference", static_cast<std::int64_t>(input.below(4)), any(input, depth - 1));
    case 9:
    case 10: return of("list", std::move(items));
    case 11: return of("tuple", std::move(items));
    case 12:
    case 13:
      for (Expression& item : items) item = Expression::list(text(input.word(words)), std::move(item));
      return of("dictionary", std::move(items));
    case 14: return failure("t", input.word(words));
    default: return Expression(std::move(items));
  }
}

/// How much a value holds.
std::size_t weight(const Value& value) {
  std::size_t all = 1;
  const auto add = [&all](const std::vector<Value>& values) {
    for (const Value& one : values) all += weight(one);
  };
  if (const auto* const list = value.get_if<Value::List>()) add(list->items);
  if (const auto* const tuple = value.get_if<Value::Tuple>()) add(tuple->items);
  if (const auto* const dict = value.get_if<Value::Dict>()) {
    add(dict->keys);
    add(dict->values);
  }
  return all;
}

/// A command that is not over.
struct Command {
  std::int64_t builder = 0;  // 0: it waits
  std::int64_t object = 0;
  bool has_file_call = false;
};

class Script {
 public:
  explicit Script(fuzz::Input& input) : input_(input) {
    log_in();
    open_.insert(session_->prepare());
    take_output();
    make_builders();
  }

  void run() {
    while (!input_.empty()) {
      act();
      take_output();  // first: what was asked and what was answered may have come of the same bytes
      take_events();
      if (is_honest_) expect_own_builders();
    }
  }

 private:
  void log_in() {
    const auto check = [](std::string_view, const std::function<bool(std::string_view)>& proves) {
      return proves("p");
    };
    session_ = make_pb_session(check, challenge);
    const Bytes sum = digest(Hash::md5, digest(Hash::md5, "p").value() + challenge).value();
    feed("pb");
    feed(Expression::list("version", 6));
    feed(Expression::list("message", 1, "root", "login", 1, Expression::list("tuple", "w"),
                          Expression::list("dictionary")));
    feed(Expression::list("message", 2, 1, "respond", 1, Expression::list("tuple", sum, remote(1)),
                          Expression::list("dictionary")));
    const auto event = session_->next();
    REMSH_EXPECT(event && event->kind == Said::logged_in && !session_->next());
    session_->admit();
  }

  void act() {
    switch (input_.below(14)) {
      case 0:
      case 1: return start();
      case 2: return static_cast<void>(session_->interrupt(some_id(), "why"));
      case 3: return answer_file(true);
      case 4: return answer_file(false);
      case 5: return ask();
      case 6: return make_builders();
      case 7: return answer();
      case 8: return update();
      case 9: return complete();
      case 10: return file_call();
      case 11: return any_call();
      case 12: return feed(any(input_, 4));
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
    commands_.emplace(id, Command());
    const auto request = session_->start(id, {.kind = kinds[input_.below(kinds.size())], .path = "/w"});
    open_.insert(request);
    starts_.emplace(request, id);
  }

  /// Mostly of a command that is not over.
  std::string some_id() { return std::to_string(input_.below(last_id_ + 2)); }

  void answer_file(bool gives) {
    const std::string id = some_id();
    const auto found = commands_.find(id);
    const bool is_due = found != commands_.end() && std::exchange(found->second.has_file_call, false);
    take_output();
    if (gives) {
      session_->give(id, input_.bytes(20));
    } else {
      session_->took(id);
    }
    answers_ = 0;
    take_output();
    REMSH_EXPECT(answers_ == (is_due ? 1 : 0));
  }

  void ask() {
    switch (input_.below(3)) {
      case 0: open_.insert(session_->ping()); break;
      case 1: open_.insert(session_->print("p")); break;
      default: open_.insert(session_->read_info());
    }
  }

  // --- what the worker says

  /// Of a command, or any number.
  std::int64_t object() {
    const auto found = commands_.find(some_id());
    return found != commands_.end() ? found->second.object : static_cast<std::int64_t>(input_.byte());
  }

  void call(std::int64_t object, Bytes method, List arguments) {
    const bool wants_answer = input_.byte() != 255;
    feed(Expression::list("message", ++last_call_, object, std::move(method), wants_answer ? 1 : 0,
                          of("tuple", std::move(arguments)), Expression::list("dictionary")));
  }

  void update() {
    const std::int64_t called = object();
    Expression pairs = Expression::list("dictionary", Expression::list(text(input_.word(words)), any(input_, 3)));
    call(called, "update", {of("list", {of("list", {std::move(pairs), 0})})});
  }

  void complete() {
    const std::int64_t called = object();
    call(called, "complete", {input_.flag() ? none() : any(input_, 2)});
  }

  void file_call() {
    const std::int64_t called = object() + 1;
    if (input_.flag()) return call(called, "read", {static_cast<std::int64_t>(input_.byte()) - 1});
    call(called, "write", {Bytes(input_.bytes(20))});
  }

  void any_call() {
    const std::int64_t called = input_.byte();
    Bytes method = input_.word(words);
    call(called, std::move(method), {any(input_, 3)});
  }

  void make_builders() {
    if (builders_request_ == 0) return;
    List all{"dictionary"};
    for (std::size_t i = 1; i <= builders_; ++i) {
      all.emplace_back(Expression::list(text("remsh-" + std::to_string(i)), remote(static_cast<std::int64_t>(i))));
    }
    feed(Expression::list("answer", std::exchange(builders_request_, 0), std::move(all)));
  }

  void answer() {
    const auto request = static_cast<std::int64_t>(input_.below(last_request_ + 2));
    if (input_.flag()) return feed(Expression::list("answer", request, any(input_, 3)));
    feed(Expression::list("error", request, failure("t", input_.word(words))));
  }

  void feed(const Expression& expression) {
    Bytes bytes;
    append_banana(bytes, expression);
    feed_bytes(bytes, 0);
  }

  void feed_bytes(BytesView bytes, std::uint8_t pieces) {
    fuzz::in_pieces(bytes, pieces, [this](BytesView piece) {
      if (is_broken_) return;
      fed_ += piece.size();
      const auto fed = session_->feed(piece);
      if (fed) return;
      is_broken_ = true;
      REMSH_EXPECT(fed.failure().code == Errc::protocol_error);
      REMSH_EXPECT(fed.failure().message.size() < 1000);
      fuzz::expect_printable(fed.failure().message);
    });
  }

  // --- what comes of it

  void take_events() {
    while (auto event = session_->next()) {
      const bool is_ours = event->kind == Said::dropped || event->text == "interrupted before it began";
      told_ += is_ours ? 0 : 1 + weight(event->kind == Said::update ? event->update.value : event->value);
      take(*event);
    }
    REMSH_EXPECT(told_ <= fed_);
  }

  void take(const WorkerEvent& event) {
    switch (event.kind) {
      case Said::rejected:
      case Said::logged_in: return REMSH_EXPECT(false);
      case Said::asks_release: return;
      case Said::answered:
      case Said::failed: return take_answer(event);
      case Said::update: return REMSH_EXPECT(commands_.contains(event.command));
      case Said::dropped:
      case Said::complete: return REMSH_EXPECT(commands_.erase(event.command) + never_begun_.erase(event.command) == 1);
      case Said::reads:
      case Said::writes: {
        const auto command = commands_.find(event.command);
        REMSH_EXPECT(command != commands_.end() && !std::exchange(command->second.has_file_call, true));
        if (event.kind == Said::reads) {
          REMSH_EXPECT(event.size > 0 && event.size <= static_cast<std::size_t>(block_size));
        }
      }
    }
  }

  /// Requests of the session itself are answered as well: those of builders and interrupts.
  void take_answer(const WorkerEvent& event) {
    REMSH_EXPECT(open_.erase(event.request) == 1);
    if (builders_request_ == static_cast<std::int64_t>(event.request)) is_honest_ = false;
    const auto start = starts_.extract(event.request);
    if (event.kind == Said::failed) fuzz::expect_printable(event.text);
    if (!start || event.kind != Said::failed) return;
    const auto command = commands_.extract(start.mapped());
    if (command && command.mapped().builder == 0) never_begun_.insert(command.key());
  }

  void expect_own_builders() const {
    std::set<std::int64_t> used;
    for (const auto& [id, command] : commands_)
      REMSH_EXPECT(command.builder == 0 || used.insert(command.builder).second);
  }

  void take_output() {
    reader_.feed(session_->take_output());
    for (;;) {
      const auto next = reader_.next();
      REMSH_EXPECT(next.ok());
      if (!next->has_value()) return;
      const List& list = *(*next)->get_if<List>();
      if (list[0] == Expression("answer")) ++answers_;
      if (list[0] == Expression("message")) take_message(list);
    }
  }

  void take_message(const List& list) {
    const auto request = static_cast<std::uint64_t>(*list[1].get_if<std::int64_t>());
    REMSH_EXPECT(requests_.insert(request).second);
    last_request_ = std::max(last_request_, request);
    open_.insert(request);
    const List& arguments = *list[5].get_if<List>();
    if (list[3] == Expression("setBuilderList")) {
      builders_request_ = static_cast<std::int64_t>(request);
      builders_ = arguments[1].get_if<List>()->size() - 1;
      REMSH_EXPECT(builders_ <= 64);
    }
    if (list[3] != Expression("startCommand")) return;
    const std::int64_t builder = *list[2].get_if<std::int64_t>();
    const auto command = commands_.find(*(*arguments[2].get_if<List>())[1].get_if<Bytes>());
    if (command == commands_.end()) return;  // its end is known already
    command->second.object = *remote_of(arguments[1]);
    command->second.builder = builder;
  }

  fuzz::Input& input_;
  std::unique_ptr<WorkerSession> session_;
  BananaReader reader_{{}};  // of what is sent
  bool is_broken_ = false;
  std::size_t fed_ = 0;
  std::size_t told_ = 0;
  int answers_ = 0;  // that were sent
  std::size_t last_id_ = 0;
  std::int64_t last_call_ = 100;
  std::uint64_t last_request_ = 0;
  std::set<std::uint64_t> requests_;  // that were sent
  std::set<std::uint64_t> open_;
  std::map<std::uint64_t, std::string> starts_;
  std::map<std::string, Command> commands_;
  std::set<std::string> never_begun_;  // they were interrupted before, and their starts have failed
  std::int64_t builders_request_ = 0;  // open
  std::size_t builders_ = 0;
  bool is_honest_ = true;  // each builder is an object of its own
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  Script(input).run();
  return 0;
}
