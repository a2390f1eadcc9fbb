// The session with a worker over a WebSocket: all that a worker may not say.
#include "support/hex.hpp"
#include "unit/buildbot/msgpack_talk.hpp"

#include <string>
#include <utility>
#include <vector>

namespace remsh::test::msgpack_refusal_test {

using namespace msgpack_talk;

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
  Bytes unmasked = client_frame(0x82, "");
  unmasked[1] = '\0';
  const Bytes good = to_msgpack(response(1)).value();
  check_refused({
      {"a text", Stage::asked, client_frame(0x81, "{}")},
      {"a text that is a message", Stage::asked, client_frame(0x81, good)},
      {"a frame without a mask", Stage::in, unmasked},
      {"a reserved opcode", Stage::in, client_frame(0x83, "")},
      {"a reserved bit", Stage::in, client_frame(0xc2, "")},
      {"a long ping", Stage::in, client_frame(0x89, Bytes(126, 'x'))},
      {"a fragment of nothing", Stage::in, client_frame(0x80, "")},
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

}  // namespace remsh::test::msgpack_refusal_test
