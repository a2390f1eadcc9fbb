// The session with a worker over Perspective Broker: recorded ones, each thing that is asked and told, and all that a
// worker may not say.
#include "buildbot/pb_session.hpp"

#include "base/digest.hpp"
#include "base/text.hpp"
#include "buildbot/banana.hpp"
#include "buildbot/jelly.hpp"
#include "golden/buildbot_workers.hpp"
#include "support/has.hpp"
#include "support/hex.hpp"
#include "support/worker_events.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pb_session_test {

using namespace remsh;
using namespace remsh::buildbot;
using namespace remsh::test::buildbot_golden;

using Kind = WorkerCommand::Kind;
using List = Expression::List;
using Said = WorkerEvent::Kind;
using test::has;

namespace {

const Bytes challenge = "0123456789abcdef";

/// Knows one worker: w1, by the password pw1.
bool is_w1(std::string_view name, const std::function<bool(std::string_view)>& proves) {
  const bool is_right = proves("pw1");
  return is_right && name == "w1";
}

// --- expressions, as a worker writes them

Expression text(const char* words) { return Expression::list("unicode", words); }
Expression none() { return Expression::list("None"); }
Expression dereference(std::int64_t number) { return Expression::list("dereference", number); }
Expression list_of(List items) { return items.insert(items.begin(), "list"), Expression(std::move(items)); }
Expression tuple(List items) { return items.insert(items.begin(), "tuple"), Expression(std::move(items)); }
Expression dict(Expression key, Expression value) {
  return Expression::list("dictionary", Expression::list(std::move(key), std::move(value)));
}

Expression call(std::int64_t request, Expression object, const char* method, List arguments = {}, int wants = 1) {
  return Expression::list("message", request, std::move(object), method, wants, tuple(std::move(arguments)),
                          Expression::list("dictionary"));
}

/// A call of an object of ours; which request it is does not matter.
Expression call_of(std::int64_t object, const char* method, List arguments = {}) {
  return call(50, object, method, std::move(arguments));
}

Expression login(Expression name) { return call(1, "root", "login", {std::move(name)}); }

Expression response(const Bytes& password, const Bytes& to = challenge) {
  return call(2, 1, "respond", {*digest(Hash::md5, *digest(Hash::md5, password) + to), remote(1)});
}

Expression update(std::int64_t object, Expression key, Expression value) {
  return call_of(object, "update", {list_of({list_of({dict(std::move(key), std::move(value)), 0})})});
}

Expression complete(std::int64_t object) { return call_of(object, "complete", {none()}); }
Expression answer(std::int64_t request, Expression value) {
  return Expression::list("answer", request, std::move(value));
}
Expression error(std::int64_t request, const char* why) {
  return Expression::list("error", request, failure("exceptions.ValueError", why));
}

Bytes wire(const Expression& expression) {
  Bytes bytes;
  append_banana(bytes, expression);
  return bytes;
}

std::vector<Expression> read_all(BananaReader& reader, BytesView bytes) {
  reader.feed(bytes);
  std::vector<Expression> all;
  for (;;) {
    auto next = reader.next();
    REQUIRE_MESSAGE(next.ok(), next.failure().message);
    if (!*next) return all;
    all.push_back(std::move(**next));
  }
}

// --- expressions and events, for people: 'text', bytes, @1 for an object, <a tuple>, [a list], {a: dictionary}

std::string shown(const Expression& expression);

std::string shown_items(std::span<const Expression> items) {
  std::string all;
  for (const Expression& item : items) all += (all.empty() ? "" : " ") + shown(item);
  return all;
}

std::string shown(const Expression& expression) {
  if (const auto* const number = expression.get_if<std::int64_t>()) return std::to_string(*number);
  if (const auto* const number = expression.get_if<double>()) return to_string(Value(*number));
  if (const auto* const string = expression.get_if<Bytes>()) return escaped(*string);
  if (const auto number = remote_of(expression)) return "@" + std::to_string(*number);
  const List& list = *expression.get_if<List>();
  const auto* const word = list.empty() ? nullptr : list[0].get_if<Bytes>();
  if (word == nullptr) return "(" + shown_items(list) + ")";
  const auto rest = std::span(list).subspan(1);
  if (*word == "None") return "None";
  if (*word == "unicode") return "'" + shown_items(rest) + "'";
  if (*word == "boolean") return shown_items(rest);
  if (*word == "tuple") return "<" + shown_items(rest) + ">";
  if (*word == "list") return "[" + shown_items(rest) + "]";
  if (*word != "dictionary") return "(" + shown_items(list) + ")";
  std::string all;
  for (const Expression& pair : rest) {
    const List& both = *pair.get_if<List>();
    all += (all.empty() ? "" : ", ") + shown(both[0]) + ": " + shown(both[1]);
  }
  return "{" + all + "}";
}

/// A session, and the worker that the test plays.
class Talk {
 public:
  explicit Talk(LoginCheck check = is_w1, const Bytes& with = challenge)
      : session_(make_pb_session(std::move(check), with)) {}

  WorkerSession* operator->() { return session_.get(); }

  Result<void> feed(const Expression& expression) { return session_->feed(wire(expression)); }

  /// What the worker says is right.
  void hears(const Expression& expression) {
    const auto fed = feed(expression);
    REQUIRE_MESSAGE(fed.ok(), fed.failure().message);
  }

  /// The events since the last call.
  std::string told() { return test::told_by(*session_); }

  /// What was sent since the last call.
  std::vector<Expression> sent_expressions() { return read_all(reader_, session_->take_output()); }
  std::string sent() { return shown_items(sent_expressions()); }

  void log_in() {
    hears("pb");
    hears(Expression::list("version", 6));
    hears(login("w1"));
    hears(response("pw1"));
    hears(Expression::list("decref", 1));
    CHECK(told() == "logged_in");
    sent();
  }

  /// Answers a request for builders: the first one is the worker's object 11.
  void makes_builders(std::int64_t request, int count) {
    List all{"dictionary"};
    for (int i = 1; i <= count; ++i)
      all.emplace_back(Expression::list(text(("remsh-" + std::to_string(i)).c_str()), remote(10 + i)));
    hears(answer(request, Expression(std::move(all))));
  }

  void prepare() {
    const auto request = session_->prepare();
    makes_builders(static_cast<std::int64_t>(request), 1);
    CHECK(told() == "answered " + std::to_string(request) + " None");
    sent();
  }

 private:
  std::unique_ptr<WorkerSession> session_;
  BananaReader reader_{{}};
};

/// After the login, and with a builder.
struct ReadyTalk : Talk {
  ReadyTalk() {
    log_in();
    prepare();
  }
};

const WorkerCommand look{.kind = Kind::stat, .path = "/w/f"};
const WorkerCommand upload{.kind = Kind::upload_file, .path = "/w/f"};
const WorkerCommand download{.kind = Kind::download_file, .path = "/w/f"};

std::string started(int request, int builder, int object, const std::string& id) {
  return "(message " + std::to_string(request) + " " + std::to_string(builder) + " startCommand 1 <@" +
         std::to_string(object) + " '" + id + "' 'stat' {'file': '/w/f'}> {})";
}

/// As fuzz::expect_printable(): a failure is logged.
void check_harmless(const Result<void>& fed) {
  REQUIRE_FALSE(fed.ok());
  const Failure& failure = fed.failure();
  CHECK(failure.code == Errc::protocol_error);
  CHECK_FALSE(failure.message.empty());
  CHECK(failure.message.size() < 400);
  CHECK_MESSAGE(std::none_of(failure.message.begin(), failure.message.end(),
                             [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }),
                escaped(failure.message));
}

// --- recordings

Bytes bytes_of(std::span<const Segment> segments, Side side) {
  Bytes all;
  for (const Segment& segment : segments) {
    if (segment.from == side) all += test::from_hex(segment.hex);
  }
  return all;
}

/// The one that the recorded master made.
Bytes recorded_challenge(std::span<const Segment> segments) {
  BananaReader reader({});
  for (const Expression& one : read_all(reader, bytes_of(segments, Side::master))) {
    const List& list = *one.get_if<List>();
    if (list[0] == Expression("answer")) return *(*items_of_tuple(list[2]))[0].get_if<Bytes>();
  }
  return {};
}

/// Feeds a recorded login in two parts, or byte by byte if it is cut behind its end.
void check_login(std::span<const Segment> segments, std::size_t cut, const char* told) {
  const Bytes said = bytes_of(segments, Side::worker);
  Talk talk(is_w1, recorded_challenge(segments));
  Bytes sent;
  for (BytesView rest = said; !rest.empty();) {
    const std::size_t size = cut > said.size() ? 1 : cut > 0 && rest.size() == said.size() ? cut : rest.size();
    REQUIRE(talk->feed(rest.substr(0, size)).ok());
    sent += talk->take_output();
    rest.remove_prefix(size);
  }
  CHECK(talk.told() == told);
  CHECK(talk->name() == "w1");
  CHECK(test::to_hex(sent) == test::to_hex(bytes_of(segments, Side::master)));
}

/// What the recorded worker said from its first builder on, but for headers, which have paths.
constexpr const char* recorded_events = R"(answered 3 None
answered 4 None
answered 5 None
answered 6 None
answered 7 None
0 stdout 'out\n'
0 stderr 'err\n'
0 rc 3
0 elapsed 0.007296085357666016
0 complete
answered 8 None
1 reads 16384
1 reads 16384
1 rc 0
1 elapsed 0.0017325878143310547
1 complete
answered 9 None
2 writes hello file\x0A
2 rc 0
2 elapsed 0.002529621124267578
2 complete
)";

/// What the recorded master asked for, and the answers that its files need.
void ask_as_recorded(Talk& talk, const Expression& expression) {
  const List& list = *expression.get_if<List>();
  if (list[0] == Expression("answer")) {
    if (list[1] == Expression(2)) talk->admit();
    if (list[1] == Expression(10)) talk->give("1", "hello file\n");
    if (list[1] == Expression(11)) talk->give("1", "");
    if (list[1] == Expression(16)) talk->took("2");
    return;
  }
  const std::string method = *list[3].get_if<Bytes>();
  if (method == "print") talk->print(list[1] == Expression(5) ? "ping" : "attached");
  if (method == "getWorkerInfo") talk->read_info();
  if (method == "setBuilderList") talk->prepare();
  if (method == "startBuild") talk->ping();
  if (method != "startCommand") return;
  const auto id = std::to_string(*list[1].get_if<std::int64_t>() - 7);
  talk->start(id, {.kind = id == "0"   ? Kind::shell
                           : id == "1" ? Kind::download_file
                                       : Kind::upload_file,
                   .path = "/w"});
}

/// The recorded master asked for the times of a file. Ours does not, so that a worker never calls this.
bool is_about_utime(const Expression& expression) {
  const List& list = *expression.get_if<List>();
  const bool is_call = list[0] == Expression("message") && list[3] == Expression("utime");
  return is_call || (list[0] == Expression("answer") && list[1] == Expression(18));
}

/// Without the arguments of a call that ours makes with others.
Expression comparable(Expression expression) {
  List& list = std::get<List>(expression.what());
  const bool is_call = list[0] == Expression("message");
  if (is_call && (list[3] == Expression("setBuilderList") || list[3] == Expression("startCommand"))) list.resize(5);
  return expression;
}

}  // namespace

// --- the login

TEST_CASE("a recorded login over PB is one, however its bytes come") {
  for (std::size_t cut = 0; cut <= bytes_of(pb_login, Side::worker).size() + 1; ++cut) {
    CAPTURE(cut);
    check_login(pb_login, cut, "logged_in");
  }
}

TEST_CASE("a recorded login over PB with a wrong password is rejected, however its bytes come") {
  for (std::size_t cut = 0; cut <= bytes_of(pb_bad_password, Side::worker).size() + 1; ++cut) {
    CAPTURE(cut);
    check_login(pb_bad_password, cut, "rejected");
  }
}

TEST_CASE("a worker that is rejected gets the one failure with which it tries again") {
  Talk talk(is_w1, recorded_challenge(pb_bad_password));
  REQUIRE(talk->feed(bytes_of(pb_bad_password, Side::worker)).ok());
  talk.sent();
  CHECK(talk.sent().empty());  // nothing before the caller has decided
  talk->reject();
  CHECK(talk.sent() ==
        "(error 2 (twisted.spread.pb.CopyableFailure {'type': twisted.cred.error.UnauthorizedLogin, 'value': '', "
        "'parents': ['twisted.cred.error.UnauthorizedLogin'], 'traceback': '', 'frames': [], 'stack': []}))");
}

TEST_CASE("over PB, a worker is let in by its name and its password alone") {
  struct Case {
    std::string title;
    const char* name;
    Bytes password;
    Bytes to;
    const char* told;
  };
  const Case cases[] = {
      {"right", "w1", "pw1", challenge, "logged_in"},
      {"another password", "w1", "pw2", challenge, "rejected"},
      {"a prefix of it", "w1", "pw", challenge, "rejected"},
      {"no password", "w1", "", challenge, "rejected"},
      {"an unknown name", "w2", "pw1", challenge, "rejected"},
      {"no name", "", "pw1", challenge, "rejected"},
      {"a name with controls", "w1\n\x1b[31m", "pw1", challenge, "rejected"},
      {"the answer to another challenge", "w1", "pw1", "fedcba9876543210", "rejected"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.title);
    Talk talk;
    talk.hears("pb");
    talk.hears(Expression::list("version", 6));
    talk.hears(login(one.name));
    talk.hears(response(one.password, one.to));
    CHECK(talk.told() == one.told);
    CHECK(talk->name() == one.name);
  }
}

TEST_CASE("over PB, neither an empty password nor a digest of another size proves anything") {
  const Bytes right = *digest(Hash::md5, *digest(Hash::md5, "pw1") + challenge);
  const Bytes digests[] = {"", right.substr(0, 15), right + Bytes(1, '\0'),
                           *digest(Hash::md5, *digest(Hash::md5, "") + challenge)};
  for (const Bytes& one : digests) {
    int asked = 0;
    Talk talk([&asked](std::string_view, const std::function<bool(std::string_view)>& proves) {
      ++asked;
      const bool by_nothing = proves("");
      return proves("pw1") || by_nothing;
    });
    talk.hears("pb");
    talk.hears(Expression::list("version", 6));
    talk.hears(login("w1"));
    talk.hears(call(2, 1, "respond", {one, remote(1)}));
    CHECK(talk.told() == "rejected");
    CHECK(asked == 1);
  }
}

// --- the whole of a recording

TEST_CASE("what a recorded master sent over PB is what ours sends, and its worker is understood") {
  Talk talk(is_w1, recorded_challenge(pb_login));
  REQUIRE(talk->feed(bytes_of(pb_login, Side::worker)).ok());
  std::vector<Expression> sent = talk.sent_expressions();
  sent.clear();
  std::vector<Expression> recorded;
  std::string told;
  BananaReader reader({});
  for (const Segment& segment : pb_work) {
    const Bytes bytes = test::from_hex(segment.hex);
    const auto said = read_all(reader, bytes);
    if (is_about_utime(said.at(0))) continue;
    if (segment.from == Side::master) {
      recorded.push_back(comparable(said.at(0)));
      ask_as_recorded(talk, said.at(0));
    } else if (const List& list = *said.at(0).get_if<List>();
               list[0] == Expression("answer") && list[1] == Expression(3)) {
      talk.hears(answer(3, dict(text("remsh-1"), remote(2))));  // its builder had another name
    } else {
      const auto fed = talk->feed(bytes);
      REQUIRE_MESSAGE(fed.ok(), fed.failure().message);
    }
    for (Expression& one : talk.sent_expressions()) sent.push_back(comparable(std::move(one)));
    const std::string more = talk.told();
    if (!more.empty() && !has(more, " header ")) told += more + "\n";
  }
  CHECK(shown_items(sent) == shown_items(recorded));
  CHECK(has(told, "logged_in\nanswered 1 None\nanswered 2 {'admin': 'admin\\n', "));
  CHECK(has(told, "'system': 'posix'"));
  const std::size_t begin = told.find("answered 3");
  REQUIRE(begin != std::string::npos);
  CHECK(told.substr(begin) == recorded_events);
}

// --- requests

TEST_CASE("over PB, each request is a call of the worker, and is answered") {
  Talk talk;
  talk.log_in();
  talk->admit();
  CHECK(talk.sent() == "(answer 2 @2)");
  CHECK(talk->read_info() == 1);
  CHECK(talk->prepare() == 2);
  CHECK(talk->print("h\u00fc") == 3);
  CHECK(talk->shut_down() == 4);
  CHECK(talk.sent() ==
        "(message 1 1 getWorkerInfo 1 <> {}) (message 2 1 setBuilderList 1 <[<'remsh-1' '.'>]> {}) "
        "(message 3 1 print 1 <> {'message': 'h\\xC3\\xBC'}) (message 4 1 shutdown 1 <> {})");
  talk.hears(answer(3, none()));  // in any order
  talk.hears(answer(1, dict(text("numcpus"), 2)));
  talk.makes_builders(2, 1);
  talk.hears(error(4, "I will not\n"));
  CHECK(talk.told() == "answered 3 None; answered 1 {'numcpus': 2}; answered 2 None; failed 4 I will not\\x0A");
  CHECK(talk->ping() == 5);
  CHECK(talk.sent() == "(message 5 11 startBuild 1 <> {})");
  talk.hears(answer(5, none()));
  CHECK(talk.told() == "answered 5 None");
}

TEST_CASE("over PB, the worker's own object is called by the number that it has") {
  Talk talk;
  talk.hears("pb");
  talk.hears(Expression::list("version", 6));
  talk.hears(login("w1"));
  talk.hears(call(9, 1, "respond", {*digest(Hash::md5, *digest(Hash::md5, "pw1") + challenge), remote(77)}));
  talk.sent();
  talk->print("x");
  talk->admit();
  CHECK(talk.sent() == "(message 1 77 print 1 <> {'message': 'x'}) (answer 9 @2)");
}

TEST_CASE("over PB, a value in an answer may be there twice") {
  ReadyTalk talk;
  CHECK(talk->read_info() == 2);
  const Expression twice = Expression::list("reference", 1, list_of({7}));
  talk.hears(answer(2, list_of({twice, dereference(1)})));
  CHECK(talk.told() == "answered 2 [[7], [7]]");
}

// --- commands

TEST_CASE("over PB, a command has updates until it is complete, also before its start is answered and after its rc") {
  ReadyTalk talk;
  CHECK(talk->start("a", look) == 2);
  CHECK(talk.sent() == started(2, 11, 3, "a"));
  talk.hears(update(3, text("header"), text("h\n")));
  CHECK(talk.told() == "a header 'h\\n'");
  CHECK(talk.sent() == "(answer 50 0)");
  talk.hears(answer(2, none()));
  CHECK(talk.told() == "answered 2 None");
  const Expression both =
      Expression::list("dictionary", Expression::list(text("rc"), 3), Expression::list(text("elapsed"), 0.5));
  talk.hears(call_of(3, "update", {list_of({list_of({both, 0}), list_of({dict(text("stdout"), text("o")), 0})})}));
  talk.hears(update(3, text("stat"), tuple({33188, 1})));
  CHECK(talk.told() == "a rc 3; a elapsed 0.5; a stdout 'o'; a stat (33188, 1)");
  talk.sent();
  talk.hears(complete(3));
  CHECK(talk.told() == "a complete");
  CHECK(talk.sent() == "(answer 50 None)");
  CHECK_FALSE(talk->leaves_commands());
  check_harmless(talk.feed(update(3, text("rc"), 0)));
  CHECK(talk.told().empty());
}

TEST_CASE("over PB, a command may be complete before its start is answered") {
  ReadyTalk talk;
  talk->start("a", look);
  talk.hears(update(3, text("rc"), 0));
  talk.hears(complete(3));
  talk.hears(answer(2, none()));
  CHECK(talk.told() == "a rc 0; a complete; answered 2 None");
}

TEST_CASE("over PB, a call that wants no answer gets none") {
  ReadyTalk talk;
  talk->start("a", look);
  talk.sent();
  talk.hears(call(50, 3, "update", {list_of({})}, 0));
  talk.hears(call(51, 3, "complete", {none()}, 0));
  talk.hears(call(52, 2, "keepalive", {}, 0));
  CHECK(talk.sent().empty());
  CHECK(talk.told() == "a complete");
}

TEST_CASE("over PB, a command that fails says why") {
  ReadyTalk talk;
  const std::pair<Expression, const char*> cases[] = {
      {failure("exceptions.ValueError", "too\x1b bad"), "a complete: too\\x1B bad"},
      {failure("exceptions.ValueError", ""), "a complete: exceptions.ValueError"},
      {Expression::list("twisted.spread.pb.CopyableFailure", Expression::list("dictionary")),
       "a complete: a failure of which nothing is known"},
      {text("why"), "a complete: the worker gives no reason"},
      {remote(4), "a complete: the worker gives no reason"},
      {0, "a complete: the worker gives no reason"},
  };
  std::int64_t object = 3;
  for (const auto& [why, told] : cases) {
    talk->start("a", look);
    talk.hears(call_of(object++, "complete", {why}));
    CHECK(talk.told() == told);
  }
}

TEST_CASE("over PB, a start that fails is the end of its command, and its builder takes the next one") {
  ReadyTalk talk;
  talk->start("a", upload);
  talk.sent();
  talk.hears(error(2, "no such command"));
  CHECK(talk.told() == "failed 2 no such command");
  talk->start("b", look);
  CHECK(talk.sent() == started(3, 11, 5, "b"));
  talk->interrupt("a", "late");
  talk->took("a");
  CHECK(talk.sent().empty());
  check_harmless(talk.feed(complete(3)));
}

TEST_CASE("over PB, a start that fails after the end of its command ends no other one") {
  ReadyTalk talk;
  talk->start("a", look);
  talk.hears(complete(3));
  talk->start("b", look);
  talk.hears(error(2, "late"));
  talk.hears(complete(4));
  CHECK(talk.told() == "a complete; failed 2 late; b complete");
}

TEST_CASE("over PB, an update of a log file has its name") {
  ReadyTalk talk;
  talk->start("a", look);
  talk.hears(update(3, text("log"), tuple({text("x.log"), text("line\n")})));
  CHECK(talk.told() == "a log of x.log 'line\\n'");
}

TEST_CASE("over PB, the arguments of a command are those of its kind, and its file is an object of ours") {
  ReadyTalk talk;
  talk->start("a", upload);
  CHECK(talk.sent() ==
        "(message 2 11 startCommand 1 <@3 'a' 'uploadFile' {'workdir': '.', 'workersrc': '/w/f', 'maxsize': None, "
        "'blocksize': 262144, 'keepstamp': false, 'writer': @4}> {})");
  talk.hears(complete(3));
  talk->start("b", download);
  CHECK(has(talk.sent(), "'blocksize': 262144, 'mode': None, 'reader': @6}> {})"));
}

// --- files

TEST_CASE("over PB, a worker reads a file part by part, and each part is given once") {
  ReadyTalk talk;
  talk->start("a", download);
  talk.sent();
  talk->give("a", "unasked");
  CHECK(talk.sent().empty());
  talk.hears(call(60, 4, "read", {1}));
  CHECK(talk.told() == "a reads 1");
  talk->give("a", Bytes("\0", 1));
  talk->give("a", "again");
  CHECK(talk.sent() == "(answer 60 \\x00)");
  talk.hears(call(61, 4, "read", {std::int64_t{1} << 40U}));
  CHECK(talk.told() == "a reads " + std::to_string(block_size));
  talk->give("a", Bytes(static_cast<std::size_t>(block_size), 'x'));
  CHECK(talk->take_output().size() > static_cast<std::size_t>(block_size));
  talk.hears(call(62, 4, "read", {16}));
  talk->give("a", "");
  talk.hears(call(63, 4, "close"));
  talk.hears(complete(3));
  CHECK(talk.told() == "a reads 16; a complete");
  CHECK(talk.sent() == "(answer 62 ) (answer 63 None) (answer 50 None)");
}

TEST_CASE("over PB, a worker sends a file part by part, and waits until each is taken") {
  ReadyTalk talk;
  talk->start("a", upload);
  talk.sent();
  talk.hears(call(60, 4, "write", {Bytes("\0z", 2)}));
  CHECK(talk.told() == "a writes \\x00z");
  CHECK(talk.sent().empty());
  talk->took("a");
  talk->took("a");
  CHECK(talk.sent() == "(answer 60 None)");
  talk.hears(call(61, 4, "write", {""}));
  CHECK(talk.told() == "a writes ");
  talk->took("a");
  talk.hears(call(62, 4, "close"));
  CHECK(talk.sent() == "(answer 61 None) (answer 62 None)");
  CHECK(talk.told().empty());
}

TEST_CASE("over PB, an answer for a command that is over is dropped") {
  ReadyTalk talk;
  talk->start("a", download);
  talk.hears(call(60, 4, "read", {1}));
  talk.hears(complete(3));
  CHECK(talk.told() == "a reads 1; a complete");
  talk.sent();
  talk->give("a", "late");
  talk->took("a");
  talk->give("nobody", "x");
  CHECK(talk.sent().empty());
}

// --- interrupts

TEST_CASE("over PB, a command that runs is interrupted through its builder, and completes as any other") {
  ReadyTalk talk;
  talk->start("a", look);
  talk.sent();
  talk->interrupt("a", "enough");
  CHECK(talk.sent() == "(message 3 11 interruptCommand 1 <'a' 'enough'> {})");
  talk.hears(answer(3, none()));
  talk.hears(update(3, text("rc"), -1));
  talk.hears(complete(3));
  CHECK(talk.told() == "answered 3 None; a rc -1; a complete");
  talk.sent();
  talk->interrupt("a", "again");
  talk->interrupt("nobody", "x");
  CHECK(talk.sent().empty());
}

TEST_CASE("over PB, a command that waits for its builder is interrupted without the worker") {
  ReadyTalk talk;
  talk->start("a", look);
  talk->start("b", look);
  talk->start("c", look);
  talk.sent();
  talk->interrupt("b", "enough");
  CHECK(has(talk.told(), "b dropped"));
  CHECK(talk.sent().empty());
  talk.makes_builders(4, 2);
  CHECK(talk.sent() == started(5, 12, 4, "c"));
  talk->interrupt("b", "again");
  CHECK(talk.sent().empty());
  CHECK(talk.told() == "answered 4 None");
}

// That a start failed means that no more events of its command come. The end may come first, as it does if the worker
// says both.
TEST_CASE("over PB, a command that never begins has its end before the failure of its start") {
  ReadyTalk talk;
  talk->start("a", look);
  talk->start("b", look);
  talk->interrupt("b", "enough");
  CHECK(talk.told() == "b dropped; failed 3 interrupted before it began");
}

// --- builders

TEST_CASE("over PB, each command that runs has a builder to itself, and a free one is used again") {
  ReadyTalk talk;
  talk->start("a", look);
  CHECK(talk.sent() == started(2, 11, 3, "a"));
  talk->start("b", look);
  CHECK(talk.sent() == "(message 4 1 setBuilderList 1 <[<'remsh-1' '.'> <'remsh-2' '.'>]> {})");
  talk.makes_builders(4, 2);
  CHECK(talk.sent() == started(3, 12, 4, "b"));
  talk.hears(complete(3));
  talk.sent();
  talk->start("c", look);
  CHECK(talk.sent() == started(5, 11, 5, "c"));
  talk->start("d", look);
  talk->start("e", look);
  CHECK(talk.sent() ==  // one request at a time
        "(message 7 1 setBuilderList 1 <[<'remsh-1' '.'> <'remsh-2' '.'> <'remsh-3' '.'>]> {})");
  talk.hears(complete(4));
  CHECK(talk.sent() == "(answer 50 None) " + started(6, 12, 6, "d"));
  talk.makes_builders(7, 3);
  CHECK(talk.sent() == started(8, 13, 7, "e"));
  CHECK(talk.told() == "answered 4 None; a complete; b complete; answered 7 None");
}

TEST_CASE("over PB, commands wait for the first builder") {
  Talk talk;
  talk.log_in();
  const auto request = talk->prepare();
  talk->start("a", look);
  CHECK(talk.sent() == "(message 1 1 setBuilderList 1 <[<'remsh-1' '.'>]> {})");
  talk.makes_builders(static_cast<std::int64_t>(request), 1);
  CHECK(talk.sent() == started(2, 11, 3, "a"));
}

TEST_CASE("over PB, 64 commands run at once, and the others wait for their ends") {
  ReadyTalk talk;
  for (int i = 1; i <= 66; ++i) talk->start("c" + std::to_string(i), look);
  std::string sent = talk.sent();
  CHECK(sent.starts_with(started(2, 11, 3, "c1") + " (message 4 1 setBuilderList "));
  std::int64_t request = 4;
  for (int count = 2; count <= 64; ++count) {
    talk.makes_builders(request, count);
    sent = talk.sent();
    CHECK(has(sent, " " + std::to_string(10 + count) + " startCommand 1 <@"));
    CHECK(has(sent, "setBuilderList") == (count < 64));
    request = count == 2 ? 69 : request + 1;
  }
  talk.told();
  talk.hears(complete(3));
  CHECK(talk.sent() == "(answer 50 None) " + started(67, 11, 67, "c65"));
  CHECK(talk.told() == "c1 complete");
}

// --- the avatar

TEST_CASE("over PB, the calls of the avatar are answered, and one asks for the release") {
  Talk talk;
  talk.log_in();
  talk.hears(call(7, 2, "keepalive"));
  CHECK(talk.sent() == "(answer 7 None)");
  CHECK(talk.told().empty());
  talk.hears(call(8, 2, "shutdown"));
  CHECK(talk.sent() == "(answer 8 None)");
  CHECK(talk.told() == "asks_release");
}

// --- what a worker may not say

namespace {

enum class Stage {
  fresh,       // the master has greeted
  chosen,      // the worker has chosen the dialect
  agreed,      // and the version
  challenged,  // it has said its name
  rejected,    // its password is wrong
  in,          // it is logged in, and request 1 is answered
  preparing,   // a builder is asked for by request 2
  running,     // "a" runs, it sends a file to objects 3 and 4: request 2 is its start
  reading,     // "a" reads a file, and waits for a part of it
  over,        // "a" is complete
};

Talk& bring(Talk& talk, Stage stage) {
  if (stage > Stage::fresh) talk.hears("pb");
  if (stage > Stage::chosen) talk.hears(Expression::list("version", 6));
  if (stage > Stage::agreed) talk.hears(login("w1"));
  if (stage > Stage::challenged) talk.hears(response(stage == Stage::rejected ? "pw2" : "pw1"));
  if (stage <= Stage::rejected) return talk;
  if (stage <= Stage::preparing) {
    talk->read_info();
    talk.hears(answer(1, none()));
    if (stage == Stage::preparing) talk->prepare();
    return talk;
  }
  talk.told();
  talk.prepare();
  talk->start("a", stage == Stage::reading ? download : upload);
  if (stage == Stage::reading) talk.hears(call(60, 4, "read", {1}));
  if (stage == Stage::over) talk.hears(complete(3));
  return talk;
}

struct Wrong {
  std::string title;
  Stage stage;
  Expression said;
};

Expression nested(int depth) {
  Expression expression = none();
  for (int i = 0; i < depth; ++i) expression = list_of({std::move(expression)});
  return expression;
}

std::vector<Wrong> wrong_logins() {
  const Expression right = response("pw1");
  const auto answer_to_challenge = [](List arguments) { return call(2, 1, "respond", std::move(arguments)); };
  const Expression sum = *(*items_of_tuple((*right.get_if<List>())[5]))[0].get_if<Bytes>();
  return {
      {"another dialect", Stage::fresh, "none"},
      {"a number", Stage::fresh, 1},
      {"a list of dialects", Stage::fresh, Expression::list("pb")},
      {"a login before the dialect", Stage::fresh, login("w1")},
      {"the dialect twice", Stage::chosen, "pb"},
      {"another version", Stage::chosen, Expression::list("version", 5)},
      {"no version", Stage::chosen, Expression::list("version")},
      {"a login before the version", Stage::chosen, login("w1")},
      {"an answer before the version", Stage::chosen, answer(1, none())},
      {"nothing", Stage::agreed, Expression::list()},
      {"the version twice", Stage::agreed, Expression::list("version", 6)},
      {"a string", Stage::agreed, "message"},
      {"an answer", Stage::agreed, answer(1, none())},
      {"an error", Stage::agreed, error(1, "")},
      {"another method of the root", Stage::agreed, call(1, "root", "loginAnonymous", {"w1"})},
      {"a login of another object", Stage::agreed, call(1, 1, "login", {"w1"})},
      {"a login without a name", Stage::agreed, call(1, "root", "login")},
      {"a login with two names", Stage::agreed, call(1, "root", "login", {"w1", "w2"})},
      {"a login with a text", Stage::agreed, login(text("w1"))},
      {"a login that wants no answer", Stage::agreed, call(1, "root", "login", {"w1"}, 0)},
      {"a login that is no request", Stage::agreed, call(-1, "root", "login", {"w1"})},
      {"a name of 1025 bytes", Stage::agreed, login(Bytes(1025, 'n'))},
      {"a long list", Stage::agreed, Expression(List(65, 0))},
      {"a deep list", Stage::agreed, nested(9)},
      {"a login that has a method with controls", Stage::agreed, Expression::list(Bytes("\x1b[2J\n\xff", 6), 1)},
      {"a second login", Stage::challenged, login("w2")},
      {"a call of the avatar before the login", Stage::challenged, call(2, 2, "keepalive")},
      {"a response by another name", Stage::challenged, call(2, 1, "answer", {sum, remote(1)})},
      {"a response of another object", Stage::challenged, call(2, 2, "respond", {sum, remote(1)})},
      {"a response that wants no answer", Stage::challenged, call(2, 1, "respond", {sum, remote(1)}, 0)},
      {"a response without an object", Stage::challenged, answer_to_challenge({sum})},
      {"a response with an object of ours", Stage::challenged,
       answer_to_challenge({sum, Expression::list("local", 1)})},
      {"a response with a number for an object", Stage::challenged, answer_to_challenge({sum, 1})},
      {"a response with a text", Stage::challenged, answer_to_challenge({text("x"), remote(1)})},
      {"an answer before the response", Stage::challenged, answer(1, none())},
      {"another response after a wrong one", Stage::rejected, right},
      {"a call after a wrong response", Stage::rejected, call(3, 2, "keepalive")},
      {"an answer after a wrong response", Stage::rejected, answer(1, none())},
  };
}

std::vector<Wrong> wrong_answers() {
  return {
      {"a second login", Stage::in, login("w1")},
      {"a second response", Stage::in, response("pw1")},
      {"a second answer", Stage::in, answer(1, none())},
      {"an error after the answer", Stage::in, error(1, "")},
      {"an answer that nobody asked for", Stage::in, answer(2, none())},
      {"an answer to request 0", Stage::in, answer(0, none())},
      {"an answer to a negative request", Stage::in, answer(-1, none())},
      {"an answer to a name", Stage::in, Expression::list("answer", "1", none())},
      {"an answer without a value", Stage::preparing, Expression::list("answer", 2)},
      {"an answer with two values", Stage::preparing, Expression::list("answer", 2, none(), none())},
      {"builders that are none", Stage::preparing, answer(2, none())},
      {"no builder", Stage::preparing, answer(2, Expression::list("dictionary"))},
      {"another builder", Stage::preparing, answer(2, dict(text("remsh-2"), remote(2)))},
      {"a builder without its object", Stage::preparing, answer(2, dict(text("remsh-1"), none()))},
      {"a builder that is ours", Stage::preparing, answer(2, dict(text("remsh-1"), Expression::list("local", 2)))},
      {"a builder with the number 0", Stage::preparing, answer(2, dict(text("remsh-1"), remote(0)))},
      {"a builder with a negative number", Stage::preparing, answer(2, dict(text("remsh-1"), remote(-2)))},
      {"a builder whose name is no text", Stage::preparing, answer(2, dict("remsh-1", remote(2)))},
      {"builders that fail", Stage::preparing, error(2, "no\n")},
  };
}

/// Values that no answer has: each is the answer to a request.
std::vector<Expression> wrong_values() {
  return {
      remote(1),
      list_of({remote(1)}),
      Expression::list("local", 1),
      dereference(1),
      Expression::list("reference", 1, list_of({dereference(1)})),
      Expression::list("reference", 1, Expression::list("dictionary", Expression::list(text("x"), dereference(1)))),
      Expression::list("reference", 1),
      Expression::list("os.system", Expression::list("dictionary")),
      Expression::list("instance", "os.system", Expression::list("dictionary")),
      Expression::list("function", "os.system"),
      Expression::list("persistent", "x\n"),
      Expression::list("unicode", "\xff"),
      Expression::list("unicode", "x", "y"),
      Expression::list("boolean", "perhaps"),
      Expression::list("dictionary", Expression::list(text("x"))),
      Expression::list("dictionary", "x"),
      Expression::list("dictionary", Expression::list(list_of({}), 1)),
      Expression::list(Bytes("\x1b\n\x7f\x80", 4)),
      Expression::list(),
      Expression::list(1),
      nested(31),
  };
}

std::vector<Wrong> wrong_calls() {
  const auto message = [](List items) { return items.insert(items.begin(), "message"), Expression(std::move(items)); };
  return {
      {"a call of an object that is none", Stage::in, call_of(3, "update", {list_of({})})},
      {"a call of the challenger", Stage::in, call_of(1, "update", {list_of({})})},
      {"a call of an object with a negative number", Stage::in, call_of(-1, "keepalive")},
      {"a call of the root", Stage::in, call(3, "root", "keepalive")},
      {"another method of the avatar", Stage::in, call_of(2, "perspective_keepalive")},
      {"a method of the avatar with controls", Stage::in, call_of(2, "\x1b\n")},
      {"a method that is no string", Stage::in, message({50, 2, 1, 1, tuple({}), Expression::list("dictionary")})},
      {"a call of six", Stage::in, message({50, 2, "keepalive", 1, tuple({})})},
      {"a call of eight", Stage::in, message({50, 2, "keepalive", 1, tuple({}), Expression::list("dictionary"), 0})},
      {"a call with a list", Stage::in, message({50, 2, "keepalive", 1, list_of({}), Expression::list("dictionary")})},
      {"a call without a request", Stage::in,
       message({"x", 2, "keepalive", 1, tuple({}), Expression::list("dictionary")})},
      {"arguments that contain themselves", Stage::in,
       message({50, 2, "keepalive", 1, Expression::list("reference", 1, tuple({dereference(1)})),
                Expression::list("dictionary")})},
      {"an unknown reference", Stage::in, call_of(2, "keepalive", {dereference(1)})},
      {"a word of a cache", Stage::in,
       Expression::list("cachemessage", 1, 1, "x", 1, tuple({}), Expression::list("dictionary"))},
      {"a word for a misunderstanding", Stage::in, Expression::list("didNotUnderstand", "x")},
      {"a word with controls", Stage::in, Expression::list(Bytes("\x1b[2J\n\0\xff", 7))},
      {"a number", Stage::in, 5},
      {"deep lists", Stage::in, nested(33)},
      {"another method of a command", Stage::running, call_of(3, "updates", {list_of({})})},
      {"an update of a file", Stage::running, call_of(4, "update", {list_of({})})},
      {"a part of a file for the updates", Stage::running, call_of(3, "write", {"x"})},
      {"an update without a list", Stage::running, call_of(3, "update")},
      {"two updates", Stage::running, call_of(3, "update", {list_of({}), list_of({})})},
      {"an update that is a tuple", Stage::running, call_of(3, "update", {tuple({})})},
      {"an update of a number", Stage::running, call_of(3, "update", {list_of({1})})},
      {"an update of an empty list", Stage::running, call_of(3, "update", {list_of({list_of({})})})},
      {"an update of no dictionary", Stage::running, call_of(3, "update", {list_of({list_of({1, 0})})})},
      {"a dictionary that is none", Stage::running,
       call_of(3, "update", {list_of({list_of({Expression::list("dictionary", 1), 0})})})},
      {"an update whose name is bytes", Stage::running, update(3, "rc", 0)},
      {"an update whose name is a list", Stage::running, update(3, list_of({}), 0)},
      {"an update whose name is not UTF-8", Stage::running, update(3, Expression::list("unicode", "\xff\n"), 0)},
      {"an update with an object", Stage::running, update(3, text("rc"), remote(1))},
      {"output of a number", Stage::running, update(3, text("stdout"), 1)},
      {"output of bytes", Stage::running, update(3, text("stderr"), "x")},
      {"a header of nothing", Stage::running, update(3, text("header"), none())},
      {"a log file of a text", Stage::running, update(3, text("log"), text("x"))},
      {"a log file of one", Stage::running, update(3, text("log"), tuple({text("x")}))},
      {"a log file of bytes", Stage::running, update(3, text("log"), tuple({text("x"), "y"}))},
      {"a log file whose name is bytes", Stage::running, update(3, text("log"), tuple({"x", text("y")}))},
      {"a list as a log file", Stage::running, update(3, text("log"), list_of({text("x"), text("y")}))},
      {"an end without a word", Stage::running, call_of(3, "complete")},
      {"an end with two words", Stage::running, call_of(3, "complete", {none(), none()})},
      {"another method of a file", Stage::running, call_of(4, "truncate", {1})},
      {"times of a file", Stage::running, call_of(4, "utime", {tuple({1.5, 2.5})})},
      {"the end of an archive", Stage::running, call_of(4, "unpack")},
      {"a part of no bytes", Stage::running, call_of(4, "write", {1})},
      {"a part of text", Stage::running, call_of(4, "write", {text("x")})},
      {"a part without bytes", Stage::running, call_of(4, "write")},
      {"two parts at once", Stage::running, call_of(4, "write", {"x", "y"})},
      {"a part without a wish for an answer", Stage::running, call(50, 4, "write", {"x"}, 0)},
      {"a read of 0", Stage::running, call_of(4, "read", {0})},
      {"a read of a negative length", Stage::running, call_of(4, "read", {-1})},
      {"a read of a text", Stage::running, call_of(4, "read", {text("1")})},
      {"a read without a length", Stage::running, call_of(4, "read")},
      {"a second read", Stage::reading, call(61, 4, "read", {1})},
      {"a write beside a read", Stage::reading, call(61, 4, "write", {"x"})},
      {"an update after the end", Stage::over, update(3, text("rc"), 0)},
      {"a second end", Stage::over, complete(3)},
      {"a part of a file after the end", Stage::over, call_of(4, "write", {"x"})},
      {"a close after the end", Stage::over, call_of(4, "close")},
      {"a call of the next command's object", Stage::over, call_of(5, "update", {list_of({})})},
  };
}

void check_refused(const std::vector<Wrong>& cases) {
  for (const Wrong& one : cases) {
    CAPTURE(one.title);
    Talk talk;
    bring(talk, one.stage).told();
    check_harmless(talk.feed(one.said));
    CHECK(talk.told().empty());
  }
}

}  // namespace

TEST_CASE("over PB, nothing but a login is taken before the login") { check_refused(wrong_logins()); }

TEST_CASE("over PB, only the answers to open requests are taken") { check_refused(wrong_answers()); }

TEST_CASE("over PB, only calls of our objects are taken, with their arguments") { check_refused(wrong_calls()); }

TEST_CASE("over PB, only plain data is taken as an answer") {
  for (const Expression& value : wrong_values()) {
    CAPTURE(shown(value).substr(0, 100));
    ReadyTalk talk;
    talk->read_info();
    check_harmless(talk.feed(answer(2, value)));
    CHECK(talk.told().empty());
  }
}

TEST_CASE("over PB, a failure of a command may hold anything but is shown without controls") {
  ReadyTalk talk;
  talk->start("a", look);
  talk.hears(call_of(3, "complete", {failure("t", std::string(5000, '\x1b'))}));
  const auto event = talk->next();
  REQUIRE(event.has_value());
  CHECK(event->kind == Said::complete);
  CHECK(event->text.size() <= 4003);
  CHECK(event->text.find('\x1b') == std::string::npos);
}

TEST_CASE("over PB, a string, a list and a message each have a limit, which is checked before they have come") {
  const auto refuses = [](const Bytes& bytes) {
    ReadyTalk talk;
    check_harmless(talk->feed(bytes));
  };
  refuses(test::from_hex("01002882"));  // a string of 655,361 bytes
  refuses(test::from_hex("01002880"));  // a list of as many elements
  ReadyTalk talk;
  CHECK(talk->feed(test::from_hex("00002882")).ok());  // 655,360 bytes
  const Bytes string(655'360, 's');
  const List strings(WorkerSession::max_message / string.size() + 1, string);
  refuses(wire(call_of(2, "keepalive", strings)));
}

// References make much of few bytes, and a single read of 64 KiB may hold a hundred such messages. Limits of
// without_references() that grow with the size of the message would mend this and the next.
TEST_CASE("over PB, no more is made of a message than it has bytes") {
  ReadyTalk talk;
  talk->start("a", look);
  Expression value = 0;
  for (std::int64_t i = 1; i <= 6; ++i) {
    List items(8, i == 1 ? Expression(0) : dereference(i - 1));
    items[0] = std::move(value);
    value = Expression::list("reference", i, list_of(std::move(items)));
  }
  const Bytes bytes = wire(update(3, text("stat"), std::move(value)));
  static_cast<void>(talk->feed(bytes));
  const auto event = talk->next();
  CHECK((event ? to_string(event->update.value).size() : 0) <= 10 * bytes.size());
}

TEST_CASE("over PB, there are no more updates than a message has bytes") {
  ReadyTalk talk;
  talk->start("a", look);
  List pairs{"dictionary"};
  for (int i = 0; i < 200; ++i) pairs.emplace_back(Expression::list(text("rc"), 0));
  List updates;
  updates.emplace_back(Expression::list("reference", 1, list_of({Expression(std::move(pairs)), 0})));
  for (int i = 0; i < 200; ++i) updates.emplace_back(dereference(1));
  const Bytes bytes = wire(call_of(3, "update", {list_of(std::move(updates))}));
  static_cast<void>(talk->feed(bytes));
  std::size_t count = 0;
  while (talk->next()) ++count;
  CHECK(count <= bytes.size());
}

}  // namespace pb_session_test
