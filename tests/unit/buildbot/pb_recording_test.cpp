// The session with a worker over Perspective Broker: recorded ones.
#include "golden/buildbot_workers.hpp"
#include "support/has.hpp"
#include "support/hex.hpp"
#include "unit/buildbot/pb_talk.hpp"

#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace remsh::test::pb_recording_test {

using namespace pb_talk;

using namespace buildbot_golden;

namespace {

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

}  // namespace remsh::test::pb_recording_test
