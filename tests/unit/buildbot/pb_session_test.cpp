// The session with a worker over Perspective Broker: each thing that is asked and told.
#include "support/has.hpp"
#include "unit/buildbot/pb_talk.hpp"

#include <string>
#include <string_view>
#include <utility>

namespace remsh::test::pb_session_test {

using namespace pb_talk;

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

}  // namespace remsh::test::pb_session_test
