// The session with a worker over a WebSocket: each thing that is asked and told.
#include "support/has.hpp"
#include "support/hex.hpp"
#include "unit/buildbot/msgpack_talk.hpp"

#include <string>
#include <string_view>
#include <utility>

namespace remsh::test::msgpack_session_test {

using namespace msgpack_talk;

// --- the login

TEST_CASE("over a WebSocket, a worker is let in by its name and its password alone") {
  struct Case {
    std::string title;
    Bytes request;
    const char* name;
    const char* told;
  };
  const Case cases[] = {
      {"right", login("w1:pw1"), "w1", "logged_in"},
      {"another password", login("w1:pw2"), "w1", "rejected"},
      {"a prefix of it", login("w1:pw"), "w1", "rejected"},
      {"more than it", login("w1:pw1x"), "w1", "rejected"},
      {"no password", login("w1:"), "w1", "rejected"},
      {"no colon", login("w1"), "", "rejected"},
      {"an unknown name", login("w2:pw1"), "w2", "rejected"},
      {"no name", login(":pw1"), "", "rejected"},
      {"a name with controls", login("w1\n\x1b[31m:pw1"), "w1\n\x1b[31m", "rejected"},
      {"no authorization", request(""), "", "rejected"},
      {"another scheme", request("Authorization: Bearer pw1\r\n"), "", "rejected"},
      {"no base64", request("Authorization: Basic w1:pw1\r\n"), "", "rejected"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.title);
    Talk talk;
    talk.hears_bytes(one.request);
    CHECK(talk.told() == one.told);
    CHECK(talk->name() == one.name);
  }
}

TEST_CASE("over a WebSocket, an empty password proves nothing") {
  int asked = 0;
  Talk talk([&asked](std::string_view, const std::function<bool(std::string_view)>& proves) {
    ++asked;
    return proves("");
  });
  talk.hears_bytes(login("w1:"));
  CHECK(talk.told() == "rejected");
  CHECK(asked == 1);
}

TEST_CASE("over a WebSocket, a worker that is rejected gets the status with which it tries again") {
  Talk talk;
  talk.hears_bytes(login("w1:pw2"));
  CHECK(talk->take_output().empty());  // nothing before the caller has decided
  talk->reject();
  const Bytes answer = talk->take_output();
  CHECK(answer.starts_with("HTTP/1.1 401 "));
  CHECK(has(answer, "\r\nWWW-Authenticate: Basic"));
  CHECK(answer.ends_with(end_of_head));
}

TEST_CASE("over a WebSocket, a worker that is rejected is checked once, and cannot go on") {
  int asked = 0;
  Talk talk([&asked](std::string_view, const std::function<bool(std::string_view)>&) { return ++asked > 1; });
  talk.hears_bytes(login("w1:pw1"));
  CHECK(talk.told() == "rejected");
  CHECK_FALSE(talk->feed(binary(complete())).ok());
  CHECK(asked == 1);
  CHECK(talk.told().empty());
}

TEST_CASE("over a WebSocket, what is no request for one is refused with a status") {
  const std::pair<Bytes, const char*> cases[] = {
      {"POST / HTTP/1.1\r\n", "405"},
      {"GET / HTTP/1.0\r\n", "505"},
      {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "426"},
      {request("Origin: http://h\r\n"), "403"},
      {request("Content-Length: 5\r\n"), "400"},
      {binary(complete()), "400"},
      {test::from_hex("0282 7062"), "400"},
      {request("X: " + std::string(9000, 'x') + "\r\n"), "431"},
  };
  for (const auto& one : cases) {
    const auto& bytes = one.first;
    const std::string status = one.second;
    CAPTURE(status);
    Talk talk;
    check_harmless(talk->feed(bytes));
    CHECK(talk->take_output().starts_with("HTTP/1.1 " + status + " "));
    CHECK(talk.told().empty());
  }
}

TEST_CASE("over a WebSocket, what comes at once with the login is read") {
  Talk talk;
  talk.hears_bytes(login("w1:pw1") + client_frame(0x89, "x"));
  CHECK(talk.told() == "logged_in");
  CHECK(talk->take_output().ends_with(test::from_hex("8a0178")));
  check_harmless(Talk()->feed(login("w1:pw1") + binary(complete())));
}

// --- requests

TEST_CASE("over a WebSocket, each request is a message, and is answered") {
  LoggedIn talk;
  CHECK(talk->read_info() == 0);
  CHECK(talk->prepare() == 1);
  CHECK(talk->print("h\u00fc") == 2);
  CHECK(talk->ping() == 3);
  CHECK(talk->shut_down() == 4);
  talk->admit();
  CHECK(talk.sent() ==
        "{'op': 'get_worker_info', 'seq_number': 0} {'op': 'set_worker_settings', 'seq_number': 1, 'args': "
        "{'buffer_size': 65536, 'buffer_timeout': 0.05, 'max_line_length': 1099511627776, 'newline_re': '(?!)'}} "
        "{'op': 'print', 'seq_number': 2, 'message': 'h\u00fc'} {'op': 'keepalive', 'seq_number': 3} "
        "{'op': 'shutdown', 'seq_number': 4}");
  talk.hears(response(3));  // in any order
  talk.hears(response(0, map({{"numcpus", 2}})));
  talk.hears(map({{"op", text("response")}, {"seq_number", 1}}));
  talk.hears(exception(2, text("I will not")));
  talk.hears(exception(4, {}));
  CHECK(talk.told() ==
        "answered 3 None; answered 0 {'numcpus': 2}; answered 1 None; failed 2 I will not; "
        "failed 4 the worker gives no reason");
  CHECK(talk.sent().empty());
}

TEST_CASE("over a WebSocket, pings are answered, and messages come in fragments") {
  LoggedIn talk;
  talk->ping();
  talk.sent();
  const Bytes message = to_msgpack(response(0)).value();
  talk.hears_bytes(client_frame(0x02, BytesView(message).substr(0, 5)));
  talk.hears_bytes(client_frame(0x89, "still there?"));
  CHECK(talk->take_output() == test::from_hex("8a0c") + "still there?");
  talk.hears_bytes(client_frame(0x8a, "yes"));
  talk.hears_bytes(client_frame(0x80, BytesView(message).substr(5)));
  CHECK(talk.told() == "answered 0 None");
  CHECK(talk->take_output().empty());
}

TEST_CASE("over a WebSocket, a worker that closes it is gone") {
  LoggedIn talk;
  const auto fed = talk->feed(client_frame(0x88, test::from_hex("03e8")));
  REQUIRE_FALSE(fed.ok());
  CHECK(fed.failure().code == Errc::connection_lost);
}

// --- commands

TEST_CASE("over a WebSocket, a command has updates until it is complete, also before its start is answered") {
  LoggedIn talk;
  CHECK(talk->start("a", look) == 0);
  CHECK(talk.sent() ==
        "{'op': 'start_command', 'seq_number': 0, 'command_id': 'a', 'command_name': 'stat', 'args': {'path': "
        "'/w/f'}}");
  talk.hears(update("header", output("h\n")));
  CHECK(talk.told() == "a header 'h\\n'");
  CHECK(talk.sent() == "{'op': 'response', 'seq_number': 50, 'result': None}");
  talk.hears(response(0));
  CHECK(talk.told() == "answered 0 None");
  talk.hears(updates({Value::list({text("rc"), 3}), Value::list({text("stdout"), output("o")}),
                      Value::list({text("stat"), Value::list({33188, 1})})}));
  talk.hears(updates({}));
  CHECK(talk.told() == "a rc 3; a stdout 'o'; a stat [33188, 1]");
  talk.sent();
  talk.hears(complete());
  CHECK(talk.told() == "a complete");
  CHECK(talk.sent() == "{'op': 'response', 'seq_number': 50, 'result': None}");
  CHECK(talk->leaves_commands());
  check_harmless(talk->feed(binary(update("rc", 0))));
  CHECK(talk.told().empty());
}

TEST_CASE("over a WebSocket, a command may be complete before its start is answered, well or badly") {
  for (const bool is_bad : {false, true}) {
    LoggedIn talk;
    talk->start("a", look);
    talk.hears(update("rc", 0));
    talk.hears(complete());
    talk.hears(is_bad ? exception(0, text("no")) : response(0));
    CHECK(talk.told() == (is_bad ? "a rc 0; a complete; failed 0 no" : "a rc 0; a complete; answered 0 None"));
  }
}

TEST_CASE("over a WebSocket, a command that fails says why") {
  const std::pair<Value, const char*> cases[] = {
      {text("Traceback"), "a complete: Traceback"},
      {text(""), "a complete: the worker gives no reason"},
      {{}, "a complete"},
  };
  for (const auto& [why, told] : cases) {
    LoggedIn talk;
    talk->start("a", look);
    talk.hears(call("complete", {{"args", why}}));
    CHECK(talk.told() == told);
  }
}

TEST_CASE("over a WebSocket, a command ends well only if the worker says nil") {
  for (const Value& why : {Value(5), Value(false), Value::bytes("no"), Value::list({}), map({})}) {
    CAPTURE(to_string(why));
    LoggedIn talk;
    talk->start("a", look);
    const auto fed = talk->feed(binary(call("complete", {{"args", why}})));
    CHECK((!fed.ok() || talk.told() == "a complete: the worker gives no reason"));
  }
}

TEST_CASE("over a WebSocket, a start that fails is the end of its command") {
  LoggedIn talk;
  talk->start("a", upload);
  talk->start("b", look);
  talk.hears(exception(0, text("no such command")));
  CHECK(talk.told() == "failed 0 no such command");
  talk.sent();
  talk->took("a");
  CHECK(talk.sent().empty());
  check_harmless(talk->feed(binary(complete())));
}

TEST_CASE("over a WebSocket, commands run beside each other") {
  LoggedIn talk;
  talk->start("a", look);
  talk->start("b", look);
  talk.hears(update("rc", 1));
  talk.hears(map({{"op", text("complete")}, {"seq_number", 9}, {"command_id", text("b")}, {"args", {}}}));
  talk.hears(update("elapsed", 0.5));
  CHECK(talk.told() == "a rc 1; b complete; a elapsed 0.5");
}

TEST_CASE("over a WebSocket, an update of a log file has its name") {
  LoggedIn talk;
  talk->start("a", look);
  talk.hears(update("log", Value::list({text("x.log"), output("line\n")})));
  CHECK(talk.told() == "a log of x.log 'line\\n'");
}

TEST_CASE("over a WebSocket, a command is interrupted by its id, also one of a session before") {
  LoggedIn talk;
  talk->start("a", look);
  talk.sent();
  talk->interrupt("a", "enough");
  talk->interrupt("old-7", "its connection was lost");
  CHECK(talk.sent() ==
        "{'op': 'interrupt_command', 'seq_number': 1, 'command_id': 'a', 'why': 'enough'} "
        "{'op': 'interrupt_command', 'seq_number': 2, 'command_id': 'old-7', 'why': 'its connection was lost'}");
  talk.hears(response(2));
  talk.hears(update("rc", -1));
  talk.hears(response(1));
  talk.hears(complete());
  CHECK(talk.told() == "answered 2 None; a rc -1; answered 1 None; a complete");
  const Value old = map({{"op", text("complete")}, {"seq_number", 9}, {"command_id", text("old-7")}, {"args", {}}});
  check_harmless(talk->feed(binary(old)));
}

// --- files

TEST_CASE("over a WebSocket, a worker reads a file part by part, and each part is given once") {
  LoggedIn talk;
  talk->start("a", download);
  talk.sent();
  talk->give("a", "unasked");
  CHECK(talk.sent().empty());
  talk.hears(call("update_read_file", {{"length", 1}}));
  CHECK(talk.told() == "a reads 1");
  CHECK(talk.sent().empty());
  talk->give("a", Bytes("\0", 1));
  talk->give("a", "again");
  CHECK(talk.sent() == "{'op': 'response', 'seq_number': 50, 'result': b'\\x00'}");
  talk.hears(call("update_read_file", {{"length", std::int64_t{1} << 40U}}));
  CHECK(talk.told() == "a reads " + std::to_string(block_size));
  talk->give("a", Bytes(static_cast<std::size_t>(block_size), 'x'));
  CHECK(talk->take_output().size() > static_cast<std::size_t>(block_size));
  talk.hears(call("update_read_file", {{"length", 16}}));
  talk->give("a", "");
  CHECK(talk.sent() == "{'op': 'response', 'seq_number': 50, 'result': b''}");
  talk.hears(call("update_read_file_close"));
  CHECK(talk.sent() == "{'op': 'response', 'seq_number': 50, 'result': None}");
  talk.hears(complete());
  CHECK(talk.told() == "a reads 16; a complete");
}

TEST_CASE("over a WebSocket, a worker sends a file part by part, and waits until each is taken") {
  LoggedIn talk;
  talk->start("a", upload);
  talk.sent();
  talk.hears(call("update_upload_file_write", {{"args", Value::bytes(Bytes("\0z", 2))}}));
  CHECK(talk.told() == "a writes \\x00z");
  CHECK(talk.sent().empty());
  talk->took("a");
  talk->took("a");
  CHECK(talk.sent() == "{'op': 'response', 'seq_number': 50, 'result': None}");
  talk.hears(call("update_upload_file_write", {{"args", Value::bytes("")}}));
  CHECK(talk.told() == "a writes ");
  talk->took("a");
  talk.hears(call("update_upload_file_close"));
  CHECK(talk.sent_messages().size() == 2);
  CHECK(talk.told().empty());
}

TEST_CASE("over a WebSocket, an answer for a command that is over is dropped") {
  LoggedIn talk;
  talk->start("a", download);
  talk.hears(call("update_read_file", {{"length", 1}}));
  talk.hears(complete());
  CHECK(talk.told() == "a reads 1; a complete");
  talk.sent();
  talk->give("a", "late");
  talk->took("a");
  talk->give("nobody", "x");
  CHECK(talk.sent().empty());
}

}  // namespace remsh::test::msgpack_session_test
