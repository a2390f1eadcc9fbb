// The session with a worker over Perspective Broker: all that a worker may not say.
#include "support/hex.hpp"
#include "unit/buildbot/pb_talk.hpp"

#include <string>
#include <utility>
#include <vector>

namespace remsh::test::pb_refusal_test {

using namespace pb_talk;

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

}  // namespace remsh::test::pb_refusal_test
