// The session with a worker over a WebSocket: recorded ones.
#include "golden/buildbot_workers.hpp"
#include "support/has.hpp"
#include "support/hex.hpp"
#include "unit/buildbot/msgpack_talk.hpp"

#include <initializer_list>
#include <span>
#include <string>

namespace remsh::test::msgpack_recording_test {

using namespace msgpack_talk;
using namespace buildbot_golden;

namespace {

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

}  // namespace remsh::test::msgpack_recording_test
