// SlaveSession: what a slave makes of the boxes of an original master, and what it says itself.
#include "remsh1/slave_session.hpp"

#include "golden/remsh1_session.hpp"
#include "support/hex.hpp"
#include "unit/remsh1/recorded.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

using namespace remsh;
using namespace remsh::remsh1;
using remsh::test::boxes_in;
using remsh::test::breaks;
using remsh::test::fed;
using remsh::test::from_hex;
using remsh::test::recorded;
using remsh::test::remsh1_golden::Side;
using SlaveEvent = SlaveSession::Event;
using SlaveEventKind = SlaveEvent::Kind;

namespace {

Box call_of(const char* command, std::vector<std::pair<const char*, const char*>> arguments = {}) {
  Box box{{"_ask", "1"}, {"_command", command}};
  for (const auto& [key, value] : arguments) box.set(key, value);
  return box;
}

SlaveSession registered() {
  SlaveSession slave;
  fed(slave, registered_box());
  return slave;
}

/// In the middle of a send.
SlaveSession slave_receiving() {
  SlaveSession slave = registered();
  fed(slave, call_of("send", {{"dest", "f"}}));
  slave.expect_data();
  return slave;
}

}  // namespace

TEST_CASE("a recorded session of the original is understood box by box, and said again") {
  SlaveSession slave;
  std::vector<Box> said{SlaveSession::start("worker1")};
  for (const Box& box : recorded(Side::master)) {
    SlaveEvent event = fed(slave, box);
    const Bytes tag = event.call.tag;
    const auto answer = [&](Box results = {}) { said.push_back(Answer{tag, std::move(results)}.to_box()); };
    const auto error = [&](const char* text) { said.push_back(ErrorAnswer{tag, text}.to_box()); };
    const auto data = [&](std::optional<Stream> stream, BytesView bytes) {
      said.push_back(boxes_in(slave.data(stream, bytes)).at(0));
    };
    if (event.kind == SlaveEventKind::registered || event.kind == SlaveEventKind::data) continue;
    if (event.kind == SlaveEventKind::end_of_data) {
      answer();
      continue;
    }
    REQUIRE(event.kind == SlaveEventKind::call);
    const Bytes& command = event.call.command;
    if (command == "set_cwd") {
      answer({{"cwd", "/tmp/r1"}});
    } else if (command == "getenv") {
      answer({{"env_PATH", "/usr/bin:/bin"}, {"env_PWD", "/tmp/r1"}, {"env_PYTHONPATH", "/tmp/bb/v1"}});
    } else if (command == "execute") {
      CHECK(split_args(*event.call.arguments.get("args")).size() == 3);
      answer();
      data(Stream::out, "out\n");
      data(Stream::err, "err\n");
      said.push_back(slave.command_finished({3, {}}));
    } else if (command == "send" && tag == "6") {
      answer();
      slave.expect_data();
    } else if (command == "send") {
      error("File 'f' already exists");
    } else if (command == "rename" && tag == "10") {
      error("'none' does not exist");
    } else if (command == "stat") {
      const BytesView path = *event.call.arguments.get("pathname");
      answer({{"result", path == "h" ? "f" : path == "d" ? "d" : ""}});
    } else if (command == "fetch") {
      answer();
      data(std::nullopt, "hello file\n");
      said.push_back(slave.file_finished());
    } else {
      answer();
    }
  }
  CHECK(said == recorded(Side::slave));
}

TEST_CASE("nothing is done before the master has said 'registered', whatever else it says with it") {
  CHECK(breaks(SlaveSession(), call_of("stat", {{"pathname", "/"}})));
  CHECK(breaks(SlaveSession(), Box{{"type", "refused"}}));
  CHECK(breaks(SlaveSession(), Box{{"registered", "type"}}));
  SlaveSession slave;
  CHECK(fed(slave, Box{{"type", "registered"}, {"more", "x"}}).kind == SlaveEventKind::registered);
  CHECK(breaks(SlaveSession(slave), registered_box()));  // once
}

TEST_CASE("a call comes with its tag and its arguments, also those that mean nothing") {
  SlaveSession slave = registered();
  const SlaveEvent event = fed(slave, Box{{"_ask", ""}, {"_command", "stat"}, {"pathname", "/"}, {"more", "x"}});
  CHECK(event.kind == SlaveEventKind::call);
  CHECK(event.call.tag.empty());
  CHECK(event.call.command == "stat");
  CHECK(event.call.arguments == Box{{"more", "x"}, {"pathname", "/"}});
}

TEST_CASE("a call that cannot be is refused with its tag, and the connection goes on") {
  SlaveSession slave = registered();
  const auto refused = [&](const Box& box) {
    const SlaveEvent event = fed(slave, box);
    CHECK(event.kind == SlaveEventKind::refused);
    CHECK(event.call.tag == "1");
    return event.text;
  };
  CHECK(refused(call_of("unlink")) == "no such command: 'unlink'");
  CHECK(refused(call_of("\xff")) == "no such command: '\\xFF'");
  CHECK(refused(call_of("")) == "no such command: ''");
  CHECK(refused(call_of("finished")) == "no such command: 'finished'");
  for (const auto& [command, key] : std::vector<std::pair<const char*, const char*>>{{"mkdir", "dir"},
                                                                                     {"execute", "args"},
                                                                                     {"send", "dest"},
                                                                                     {"fetch", "src"},
                                                                                     {"remove", "path"},
                                                                                     {"rename", "src"},
                                                                                     {"copy", "src"},
                                                                                     {"stat", "pathname"}}) {
    CHECK(refused(call_of(command)) == "the call has no argument '" + Bytes(key) + "'");
  }
  CHECK(refused(call_of("copy", {{"src", "a"}})) == "the call has no argument 'dest'");
  CHECK(refused(call_of("execute", {{"args", "a"}, {"want_stdout", "y"}})) == "the call has no argument 'want_stderr'");
  CHECK(refused(call_of("execute", {{"args", "a"}, {"want_stdout", "yes"}, {"want_stderr", "y"}})) ==
        "'want_stdout' is neither y nor n");
  CHECK(fed(slave, call_of("execute", {{"args", "a"}, {"want_stdout", "ny"}, {"want_stderr", ""}})).kind ==
        SlaveEventKind::call);
  CHECK(fed(slave, call_of("set_cwd")).kind == SlaveEventKind::call);
}

TEST_CASE("a call without a tag, or a box that is nothing, is a breach") {
  for (const SlaveSession& slave : {registered(), slave_receiving()}) {
    CHECK(breaks(SlaveSession(slave), Box{{"_command", "getenv"}}));
    CHECK(breaks(SlaveSession(slave), Box{{"_command", "data"}, {"data", "x"}}));
    CHECK(breaks(SlaveSession(slave), Box{{"_ask", "1"}}));
    CHECK(breaks(SlaveSession(slave), Box{{"type", "register"}}));
    CHECK(breaks(SlaveSession(slave), Box{{"_error", "1"}}));
  }
}

TEST_CASE("answers to what needs none are dropped") {
  for (SlaveSession slave : {registered(), slave_receiving()}) {
    CHECK(fed(slave, Box{{"_answer", "1"}}).kind == SlaveEventKind::dropped);
    CHECK(fed(slave, Box{{"_answer", "never used"}, {"_command", "getenv"}, {"_ask", "1"}}).kind ==
          SlaveEventKind::dropped);
    CHECK(fed(slave, Box{{"_error", "1"}, {"_error_code", "0"}, {"_error_description", ""}}).kind ==
          SlaveEventKind::dropped);
  }
}

TEST_CASE("data comes while a file is sent, and at no other time") {
  CHECK(breaks(registered(), call_of("data", {{"data", "x"}})));
  SlaveSession slave = slave_receiving();
  CHECK(breaks(SlaveSession(slave), call_of("data")));
  const SlaveEvent piece = fed(slave, call_of("data", {{"data", "x"}}));
  CHECK(piece.kind == SlaveEventKind::data);
  CHECK(piece.text == "x");
  CHECK(fed(slave, call_of("data", {{"data", ""}})).kind == SlaveEventKind::data);
  const SlaveEvent last = fed(slave, Box{{"_ask", "77"}, {"_command", "finished"}});
  CHECK(last.kind == SlaveEventKind::end_of_data);
  CHECK(last.call.tag == "77");
  CHECK(breaks(SlaveSession(slave), call_of("data", {{"data", "x"}})));
  CHECK(fed(slave, call_of("finished")).kind == SlaveEventKind::refused);
}

TEST_CASE("in the middle of a send everything can be asked for but a second one") {
  SlaveSession slave = slave_receiving();
  CHECK(fed(slave, call_of("mkdir", {{"dir", "d"}})).kind == SlaveEventKind::call);
  CHECK(fed(slave, call_of("fetch", {{"src", "f"}})).kind == SlaveEventKind::call);
  CHECK(fed(slave, call_of("execute", {{"args", "a"}, {"want_stdout", "y"}, {"want_stderr", "y"}})).kind ==
        SlaveEventKind::call);
  const SlaveEvent second = fed(slave, call_of("send", {{"dest", "g"}}));
  CHECK(second.kind == SlaveEventKind::refused);
  CHECK(second.text == "another file is being sent already");
  CHECK(fed(slave, call_of("nothing")).kind == SlaveEventKind::refused);
  CHECK(fed(slave, call_of("data", {{"data", "x"}})).kind == SlaveEventKind::data);
  CHECK(fed(slave, call_of("finished")).kind == SlaveEventKind::end_of_data);
  CHECK(fed(slave, call_of("send", {{"dest", "g"}})).kind == SlaveEventKind::call);
}

TEST_CASE("all calls of a slave have tags, counted together") {
  SlaveSession slave;
  CHECK(boxes_in(slave.data(Stream::out, "a")).at(0) ==
        Box{{"_ask", "1"}, {"_command", "data"}, {"data", "a"}, {"stream", "stdout"}});
  CHECK(boxes_in(slave.data(std::nullopt, Bytes(max_data, 'x'))).at(0).get("data")->size() == max_data);
  CHECK(slave.command_finished({{}, 15}) == Box{{"_ask", "3"}, {"_command", "finished"}, {"result", "-15"}});
  CHECK(slave.file_finished() == Box{{"_ask", "4"}, {"_command", "finished"}});
}

TEST_CASE("a file that could not be read to its end says so to masters of either spelling") {
  SlaveSession slave;
  const Box box = slave.file_finished("Input/output error");
  CHECK(box.get("errmsg") == "Input/output error");
  CHECK(box.get("errstr") == "Input/output error");
  CHECK(slave.file_finished(Bytes(100'000, 'x')).get("errmsg")->size() == max_data);
}
