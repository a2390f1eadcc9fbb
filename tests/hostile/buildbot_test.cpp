// What a worker of Buildbot can make its master do, in both of its protocols: nothing. Each rule has a number, which
// docs/security.md explains.
//
// REMSH_STRESS_SEED repeats the random messages of a run, REMSH_HOSTILE_MESSAGES says how many.
#include "hostile/buildbot_wire.hpp"
#include "support/memory_in_use.hpp"
#include "support/stress.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <list>
#include <random>
#include <thread>
#include <vector>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

using List = buildbot::Expression::List;
using Verdict = EvilWorker::Verdict;
using Flood = EvilWorker::Flood;

constexpr std::size_t mebibyte = std::size_t{1024} * 1024;

template <class Test>
void with_both(Test test) {
  for (const Speaks speaks : {Speaks::pb, Speaks::msgpack}) {
    const std::string protocol = to_string(speaks);
    CAPTURE(protocol);
    test(speaks);
  }
}

/// Short enough for a log, and nothing in it has an effect on a terminal.
bool is_clean(const std::string& words, std::size_t most) {
  return words.size() <= most && std::none_of(words.begin(), words.end(), [](char c) {
           return static_cast<unsigned char>(c) < 0x20 || c == '\x7f' || c == '\xff';
         });
}

/// The lines of a log that are not clean. A line about a stranger has at most 64 escaped bytes of them in each place.
std::string unclean_lines(const std::string& log) {
  std::string lines;
  for (std::size_t at = 0; at < log.size();) {
    const std::size_t end = log.find('\n', at);
    const std::string line = log.substr(at, end - at);
    if (!is_clean(line, 1000)) lines += line.substr(0, 100) + "... has " + std::to_string(line.size()) + " bytes\n";
    at = end + 1;
  }
  return lines;
}

const std::string nasty = "\x1b]0;owned\x07\r\n\x1b[2J%s%n\xe2\x80\xae" + std::string(60'000, 'x');

/// The same without what is no part of a UTF-8 text, and short.
const std::string nasty_text = "\x1b[2J\r\nhonest: disconnected: \x07%s%n";

bool is_over(auto& pending) {
  try {
    pending.wait();
  } catch (const Error&) {
  }
  return true;
}

}  // namespace

// --- the login

TEST_CASE("a worker that is played gets in and does its work, also one that waits for the greeting") {
  WorkerPrey prey;
  with_both([&](Speaks speaks) {
    Entered worker(prey, speaks, std::string("w-") + to_string(speaks));
    auto stat = worker.slave->start_stat("file");
    CHECK(worker.evil.finish_stat(worker.evil.read_start(), EvilWorker::file, 7));
    CHECK(stat.wait()->size == 7);
    auto command = worker.slave->start_execute({"true"});
    const Asked start = worker.evil.read_start_after_stat(EvilWorker::directory);
    CHECK(start.name == "shell");
    worker.evil.send(worker.evil.output(start, "stdout", "hello"));
    CHECK(worker.evil.finish(start, 3));
    const ExecuteResult result = command.wait();
    CHECK(result.exit_code == 3);
    CHECK(result.out == "hello");
    CHECK(worker.evil.is_heard());
  });
  const EvilWorker silent(Speaks::pb, prey.port());
  CHECK(silent.read_bytes() == Bytes("\2\200\2\202pb\4\202none"));
  CHECK(prey.is_unharmed());
}

TEST_CASE(
    "a wrong password is refused after a delay with the answer that lets a worker try again, and the right one "
    "works then") {
  WorkerPrey prey;
  prey.expect("w1");
  with_both([&](Speaks speaks) {
    for (const std::string& password :
         {std::string(), std::string("pw w"), std::string("pw w1 "), std::string("pw w2"), std::string(300, 'p')}) {
      const auto begun = std::chrono::steady_clock::now();
      CHECK(EvilWorker(speaks, prey.port()).prove("w1", password) == Verdict::rejected);
      CHECK(std::chrono::steady_clock::now() - begun >= 100ms);
    }
    for (const std::string name : {"unknown", "W1", "w1.", "honest", ""}) {
      CAPTURE(name);
      CHECK(EvilWorker(speaks, prey.port()).prove(name, EvilWorker::password_of("w1")) == Verdict::rejected);
    }
    EvilWorker right(speaks, prey.port());
    CHECK(right.log_in("w1"));
    const auto slave = prey.find("w1");
    right.hang_up();
    CHECK(eventually([&] { return !slave->is_connected() && prey.slaves.find("w1") == nullptr; }));
  });
  EvilWorker evil(Speaks::pb, prey.port());
  evil.send(EvilWorker::pb_login("w1") +
            banana_of(buildbot::Expression::list("message", 2, 1, "respond", 1,
                                                 tuple_of({Bytes(16, 'd'), buildbot::remote(1)}),
                                                 buildbot::Expression::list("dictionary"))));
  const Bytes said = evil.read_to_end();
  CHECK(said.find("twisted.cred.error.UnauthorizedLogin") != Bytes::npos);
  CHECK(prey.log_text().find("pw w") == std::string::npos);
  CHECK(prey.is_unharmed());
}

TEST_CASE("HTTP that asks for no WebSocket, or comes from a web page, is refused with a status") {
  WorkerPrey prey;
  prey.expect("w1");
  const std::string good = upgrade_request("w1", EvilWorker::password_of("w1"));
  const auto with = [&good](const std::string& from, const std::string& to) {
    std::string request = good;
    return request.replace(request.find(from), from.size(), to);
  };
  const std::vector<std::pair<Bytes, std::string>> rows{
      {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "426"},
      {with("Upgrade: WebSocket", "Upgrade: h2c"), "426"},
      {with("Version: 13", "Version: 8"), "426"},
      {with("HTTP/1.1", "HTTP/1.0"), "505"},
      {with("GET / ", "GET /" + std::string(1100, 'a') + " "), "414"},
      {with("Host: h", "Host: h\r\n folded"), "400"},
      {with("Host: h", "Host: h\r\nContent-Length: 10"), "400"},
      {with("Host: h", Bytes("Host: h\0", 8)), "400"},
      {with("Host: h", "Host: h\nX: y"), "400"},
      {with("Host: h", "Host: h\r\nX: " + std::string(9000, 'x')), "431"},
      {with("Host: h", "Host: h\r\nOrigin: http://evil.example"), "403"},
      {with("Host: h", "Host: h\r\norigin: null"), "403"},
      {with("Host: h", "Host: h\r\nOrigin: "), "403"},
  };
  for (const auto& row : rows) {  // no structured binding: clang 14 cannot capture one
    const Bytes& request = row.first;
    CAPTURE(request);
    EvilWorker evil(Speaks::msgpack, prey.port());
    evil.send(request);
    CHECK(evil.read_to_end().substr(0, 12) == "HTTP/1.1 " + row.second);
  }
  for (const char* request : {"POST / HTTP/1.1\r\n\r\n", "get / HTTP/1.1\r\n\r\n", "GEX / HTTP/1.1\r\n\r\n"}) {
    CAPTURE(request);
    EvilWorker evil(Speaks::msgpack, prey.port());  // these are taken for no HTTP at all
    evil.send(request);
    evil.end_input();
    CHECK(evil.read_to_end().find("101") == Bytes::npos);
  }
  CHECK(prey.slaves.find("w1") == nullptr);
  CHECK(unclean_lines(prey.log_text()) == "");
  CHECK(prey.is_unharmed());
}

TEST_CASE("a second worker of the same name is closed without an error while the first one lives") {
  WorkerPrey prey;
  with_both([&](Speaks speaks) {
    const std::string name = std::string("w-") + to_string(speaks);
    Entered first(prey, speaks, name);
    EvilWorker second(speaks, prey.port());
    REQUIRE(second.prove(name, EvilWorker::password_of(name)) == Verdict::in);
    REQUIRE(second.tell(usual_info()));
    while (const auto asked = first.evil.read()) {  // is it there?
      first.evil.answer_as_usual(*asked);
      if (asked->op == "keepalive" || asked->op == "startBuild") break;
    }
    const Bytes rest = second.read_to_end();
    CHECK(rest.find("error") == Bytes::npos);
    CHECK(rest.find("\x87\x1c") == Bytes::npos);
    CHECK(rest.find("40") == Bytes::npos);  // no status
    CHECK(first.evil.is_heard());
    CHECK(prey.slaves.find(name) == first.slave);
  });
  CHECK(prey.is_unharmed());
}

TEST_CASE(
    "a worker that would delete its directories, or is on Windows, or has no base directory, is refused with a "
    "line that says so") {
  WorkerPrey prey;
  int count = 0;
  const auto line_about = [&](Speaks speaks, const Value& info) {
    const std::string name = "w-" + std::to_string(++count);
    prey.expect(name);
    EvilWorker evil(speaks, prey.port());
    CHECK(evil.prove(name, EvilWorker::password_of(name)) == Verdict::in);
    CHECK_FALSE(evil.tell(info));
    CHECK(prey.says(name));
    const std::string log = prey.log_text();
    CHECK(prey.slaves.find(name) == nullptr);
    return log.substr(log.find("'" + name + "'"));
  };
  CHECK(line_about(Speaks::pb, usual_info({{text("delete_leftover_dirs"), true}}))
            .find("leave that out of its buildbot.tac") != std::string::npos);
  with_both([&](Speaks speaks) {
    CHECK(line_about(speaks, usual_info({{text("system"), text("nt")}})).find("POSIX") != std::string::npos);
    CHECK(line_about(speaks, usual_info({{text("system"), text(nasty_text)}})).find("POSIX") != std::string::npos);
    for (const Value& basedir : {text(""), text("w"), text("../w"), text("C:\\w"), text("/" + std::string(4096, 'w')),
                                 text("/w\x1b[2J"), Value::bytes("/w"), Value(1), Value()}) {
      CHECK(line_about(speaks, usual_info({{text("basedir"), basedir}})).find("base directory") != std::string::npos);
    }
    for (const Value& info : {Value(), Value(1), text("info"), Value::list({}), Value::dict({})}) {
      CHECK(line_about(speaks, info).find("POSIX") != std::string::npos);
    }
  });
  CHECK(unclean_lines(prey.log_text()) == "");
  CHECK(prey.is_unharmed());
}

TEST_CASE("a worker that stops in the middle of its login is dropped after the time that all have") {
  WorkerPrey prey({.handshake_timeout = 3s});  // in which the honest slave must register, too
  for (const char* name : {"w1", "w2", "w3", "w4"}) prey.expect(name);
  const auto password = EvilWorker::password_of("w1");
  std::list<EvilWorker> evils;
  const auto come = [&](Speaks speaks) -> EvilWorker& { return evils.emplace_back(speaks, prey.port()); };
  come(Speaks::pb);                                   // waits for ever
  come(Speaks::pb).send(Bytes("\2\202p"));            // half a dialect
  come(Speaks::pb).send(EvilWorker::pb_login("w1"));  // no response
  come(Speaks::msgpack).send("G");
  come(Speaks::msgpack).send("GET / HTTP/1.1\r\n");
  REQUIRE(come(Speaks::pb).prove("w1", password) == Verdict::in);  // no info
  REQUIRE(come(Speaks::msgpack).prove("w2", EvilWorker::password_of("w2")) == Verdict::in);
  with_both([&](Speaks speaks) {  // nothing after the info
    const std::string name = speaks == Speaks::pb ? "w3" : "w4";
    EvilWorker& evil = come(speaks);
    REQUIRE(evil.prove(name, EvilWorker::password_of(name)) == Verdict::in);
    evil.send(evil.answer(evil.read()->number, usual_info()));
    REQUIRE(evil.read());
  });
  // Each has its time from the connection on, whatever else comes meanwhile.
  CHECK(eventually(
      [&] { return std::all_of(evils.begin(), evils.end(), [](EvilWorker& evil) { return evil.has_ended(); }); }));
  CHECK(prey.slaves.size() == 1);
  CHECK(prey.is_unharmed());
}
// --- the rules

namespace {

/// One thing that a worker can say.
struct Saying {
  std::string words;
  Bytes bytes;
};

/// Every call of both protocols, and others, with the arguments that would do for it, about a command.
std::vector<Saying> calls_of_msgpack(EvilWorker& evil, const std::string& command) {
  std::vector<Saying> said;
  for (const char* op : {"print",
                         "keepalive",
                         "get_worker_info",
                         "set_worker_settings",
                         "start_command",
                         "interrupt_command",
                         "shutdown",
                         "response",
                         "update",
                         "complete",
                         "update_read_file",
                         "update_read_file_close",
                         "update_upload_file_write",
                         "update_upload_file_close",
                         "update_upload_file_utime",
                         "update_upload_directory_write",
                         "update_upload_directory_unpack",
                         "Update",
                         "auth",
                         "login",
                         "__init__",
                         ""}) {
    const std::string word = op;
    Value args = Value::list({});
    if (word == "complete") args = Value();
    if (word.ends_with("_write")) args = Value::bytes("x");
    const std::pair<Value, Value> more =
        word == "update_read_file" ? std::pair(text("length"), Value(10)) : std::pair(text("args"), args);
    said.push_back({word, evil.call(word, command, more)});
  }
  const std::vector<std::pair<std::string, Value>> others{
      {"nothing", Value::dict({})},
      {"no op", Value::dict({{text("seq_number"), 1}})},
      {"no number", Value::dict({{text("op"), text("update")}})},
      {"a negative number", Value::dict({{text("op"), text("response")}, {text("seq_number"), -1}})},
      {"no dict", Value::list({text("op"), text("response")})},
      {"nil", Value()}};
  for (const auto& [words, message] : others) said.push_back({words, frame_of(message)});
  said.push_back({"text frame", frame_of(1, "{}")});
  said.push_back({"pong frame", frame_of(10, "{}")});
  said.push_back({"ping frame", frame_of(9, "{}")});
  return said;
}

/// Every call of every object, and every other word.
std::vector<Saying> calls_of_pb(EvilWorker& evil, const Asked& start) {
  std::vector<Saying> said;
  const std::vector<std::pair<std::string, buildbot::Expression>> objects{
      {"root", "root"},     {"challenger", 1},        {"avatar", 2},    {"command", start.object},
      {"file", start.file}, {"its own builder", 101}, {"none", 99'999}, {"minus", -1}};
  for (const auto& [name, object] : objects) {
    for (const char* method : {"login",
                               "respond",
                               "keepalive",
                               "shutdown",
                               "update",
                               "complete",
                               "read",
                               "write",
                               "close",
                               "utime",
                               "unpack",
                               "print",
                               "getWorkerInfo",
                               "setBuilderList",
                               "startCommand",
                               "startBuild",
                               "interruptCommand",
                               "perspective_keepalive",
                               "remote_update",
                               "__init__",
                               ""}) {
      const std::string word = method;
      List arguments;
      if (word == "update") arguments.emplace_back(buildbot::Expression::list("list"));
      if (word == "complete") arguments.emplace_back(buildbot::Expression::list("None"));
      if (word == "read") arguments = {10};
      if (word == "write") arguments = {"x"};
      if (word == "login") arguments = {"honest"};
      if (word == "respond") arguments = {Bytes(16, 'd'), buildbot::remote(1)};
      said.push_back({name + "." + word, evil.call(object, word, arguments)});
    }
  }
  for (const char* word : {"version", "message", "answer", "error", "decref", "decache", "uncache", "cache", "cached",
                           "cachemessage", "didNotUnderstand", "remote", "local", "login", "evil", ""}) {
    said.push_back({std::string("word ") + word, banana_of(buildbot::Expression::list(word, 6))});
  }
  said.push_back({"no list", banana_of("pb")});
  said.push_back({"an empty list", banana_of(buildbot::Expression::list())});
  return said;
}

/// Puts a worker into a state, and says one thing after another, each on a connection of its own. Returns what was
/// taken.
std::vector<std::string> taken_in(WorkerPrey& prey, Speaks speaks, const std::string& state) {
  std::vector<std::string> taken;
  Bytes memory;
  for (std::size_t at = 0;; ++at) {
    const std::string name = state + "-" + to_string(speaks) + "-" + std::to_string(at);
    Entered worker(prey, speaks, name);
    std::optional<Pending<TransferResult>> fetch;
    std::optional<Pending<std::optional<FileInfo>>> stat;
    Asked start{.command = "1", .object = 3, .file = 4};
    if (state == "fetch") {
      fetch = worker.slave->start_fetch("file", Sink::bytes(memory));
      start = worker.evil.read_start_after_stat(EvilWorker::file);
    } else if (state == "stat") {
      stat = worker.slave->start_stat("file");
      start = worker.evil.read_start();
    }
    const auto said =
        speaks == Speaks::pb ? calls_of_pb(worker.evil, start) : calls_of_msgpack(worker.evil, start.command);
    if (at == said.size()) return taken;
    worker.evil.send(said[at].bytes);
    if (worker.evil.is_heard() || !prey.was_breach(name)) taken.push_back(said[at].words);
  }
}

}  // namespace

TEST_CASE("M1, M7: a master takes of a worker the calls of this list, and does nothing for it") {
  WorkerPrey prey;
  using Words = std::vector<std::string>;
  CHECK(taken_in(prey, Speaks::msgpack, "idle") == Words{"pong frame", "ping frame"});
  CHECK(taken_in(prey, Speaks::msgpack, "stat") == Words{"update", "complete", "update_read_file",
                                                         "update_read_file_close", "update_upload_file_write",
                                                         "update_upload_file_close", "pong frame", "ping frame"});
  CHECK(taken_in(prey, Speaks::msgpack, "fetch") == Words{"update", "complete", "update_read_file",
                                                          "update_read_file_close", "update_upload_file_write",
                                                          "update_upload_file_close", "pong frame", "ping frame"});
  CHECK(taken_in(prey, Speaks::pb, "idle") == Words{"avatar.keepalive", "avatar.shutdown", "word decref"});
  CHECK(taken_in(prey, Speaks::pb, "stat") ==
        Words{"avatar.keepalive", "avatar.shutdown", "command.update", "command.complete", "word decref"});
  CHECK(taken_in(prey, Speaks::pb, "fetch") == Words{"avatar.keepalive", "avatar.shutdown", "command.update",
                                                     "command.complete", "file.read", "file.write", "file.close",
                                                     "word decref"});
  CHECK(unclean_lines(prey.log_text()) == "");
  CHECK(prey.is_unharmed());
}

TEST_CASE("M2: an answer is for the request that is open under its number, on its own connection, and comes once") {
  WorkerPrey prey;
  with_both([&](Speaks speaks) {
    const std::string suffix = std::string("-") + to_string(speaks);
    Entered first(prey, speaks, "first" + suffix);
    Entered second(prey, speaks, "second" + suffix);
    for (int i = 0; i < 3; ++i) {  // so that its numbers are beyond those of the other one
      auto print = first.slave->start_print("hello");
      const auto asked = first.evil.read_request();
      REQUIRE(first.evil.answer_as_usual(asked));
      print.wait();
    }
    auto open = first.slave->start_stat("file");
    const Asked start = first.evil.read_start();
    CHECK(second.evil.send(second.evil.answer(start.number)));  // which the other one has in use
    CHECK(prey.was_breach("second" + suffix));
    CHECK_FALSE(open.wait_until(no_wait));
    CHECK(first.evil.finish_stat(start, EvilWorker::file, 2));
    CHECK(open.wait()->size == 2);
    CHECK(first.evil.send(first.evil.answer(start.number)));  // once more
    CHECK(prey.was_breach("first" + suffix));
    for (const std::int64_t number : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1}, std::int64_t{1} << 40U}) {
      const std::string name = "other" + std::to_string(number) + suffix;
      prey.expect(name);
      EvilWorker evil(speaks, prey.port());
      REQUIRE(evil.log_in(name));
      prey.find(name);
      evil.send(evil.failure(number, "no"));
      CHECK(prey.was_breach(name));
    }
  });
  CHECK(prey.is_unharmed());
}

TEST_CASE("M3: a worker is who its login says, and logs in once") {
  WorkerPrey prey;
  with_both([&](Speaks speaks) {
    const std::string name = std::string("evil-") + to_string(speaks);
    Entered worker(prey, speaks, name);
    worker.evil.send(speaks == Speaks::pb ? worker.evil.call("root", "login", {"honest"})
                                          : upgrade_request("honest", EvilWorker::password_of("honest")));
    CHECK(prey.was_breach(name));
    EvilWorker twin(speaks, prey.port());
    CHECK_FALSE(twin.log_in("honest"));
    EvilWorker other(speaks, prey.port());  // with a password that is right for another name
    CHECK(other.prove("honest", EvilWorker::password_of(name)) == Verdict::rejected);
  });
  // A second response, and a second name, before the master has decided.
  prey.expect("evil");
  const Bytes respond = banana_of(buildbot::Expression::list("message", 2, 1, "respond", 1,
                                                             tuple_of({Bytes(16, 'd'), buildbot::remote(1)}),
                                                             buildbot::Expression::list("dictionary")));
  for (const Bytes& more : {respond, EvilWorker::pb_login("honest"), EvilWorker::pb_login("evil")}) {
    EvilWorker evil(Speaks::pb, prey.port());
    evil.send(EvilWorker::pb_login("evil") + more + respond);
    CHECK(evil.read_to_end().find("getWorkerInfo") == Bytes::npos);
  }
  CHECK(prey.is_unharmed());
}

TEST_CASE("M4: what is no name is nobody's, and is shown in one harmless line") {
  with_both([](Speaks speaks) {
    WorkerPrey prey({.keyless = true});
    for (const std::string& name :
         {std::string(), std::string("."), std::string("../honeypot"), std::string("/etc/passwd"), std::string("a/b"),
          std::string("%n%s"), std::string("a\nhonest: disconnected: x"), std::string("\x1b[2J"),
          std::string("a\0b", 3), std::string("-rf"), std::string("a b"), std::string(65, 'a'), std::string("\xc3\xa9"),
          std::string("honest\0", 7), std::string("honest "), std::string("a:b"), std::string(1000, '\xff')}) {
      if (speaks == Speaks::msgpack && name == "a:b") continue;  // which is the name a there
      CAPTURE(name);
      const std::size_t before = prey.log_text().size();
      EvilWorker evil(speaks, prey.port());
      CHECK_FALSE(evil.log_in(name));
      CHECK(evil.read_to_end().empty());
      CHECK(eventually([&] { return prey.log_text().size() > before; }));
      const std::string line = prey.log_text().substr(before);
      CHECK(line.find("not let in") != std::string::npos);
      CAPTURE(line);
      CHECK(std::count(line.begin(), line.end(), '\n') == 1);
      CHECK(unclean_lines(line) == "");
    }
    CHECK(prey.slaves.size() == 1);
    CHECK(prey.is_unharmed());
  });
}

TEST_CASE("M5, M7: what is fetched goes where the caller said, is no more than max_bytes, and nothing else is opened") {
  WorkerPrey prey;
  with_both([&](Speaks speaks) {
    Entered worker(prey, speaks, std::string("evil-") + to_string(speaks));
    EvilWorker& evil = worker.evil;
    const TempDir here;
    const auto fetch = [&](std::int64_t mode, std::int64_t size, const Bytes& data, TransferOptions options) {
      options.overwrite = true;
      auto pending = worker.slave->start_fetch("file", Sink::file(here / "fetched"), std::move(options));
      const Asked start = evil.read_start_after_stat(mode, size);
      evil.send(evil.answer(start.number) + evil.update(start, "path", text(prey.honeypot("key"))) +
                evil.update(start, "files", Value::list({text(prey.honeypot("list"))})) + evil.part(start, data) +
                evil.update(start, "rc", 0) + evil.complete(start));
      return pending;
    };
    for (const std::int64_t mode : {0107777, 0106755, 0104000, 0170000, 0}) {
      CAPTURE(mode);
      CHECK(fetch(mode, 10, "0123456789", {}).wait().bytes == 10);
      struct stat what {};
      REQUIRE(::stat((here / "fetched").c_str(), &what) == 0);
      CHECK((what.st_mode & 07022U) == 0);
      CHECK(here.read("fetched") == "0123456789");
    }
    for (const std::int64_t size : {std::int64_t{0}, std::int64_t{1}, INT64_MAX}) {
      CAPTURE(size);
      CHECK(fetch(EvilWorker::file, size, "0123456789", {}).wait().bytes == 10);
    }
    for (const std::size_t size : {11U, 1000U, 600'000U}) {
      CAPTURE(size);
      CHECK(thrown_by<Error>([&] { fetch(EvilWorker::file, 1, Bytes(size, 'x'), {.max_bytes = 10}).wait(); })->code() ==
            Errc::too_large);
      CHECK(here.read("fetched") == "0123456789");  // as it was
    }
    CHECK(here.count() == 1);
    if (speaks == Speaks::msgpack) {            // in PB there is no object for it
      for (const bool sends : {true, false}) {  // a file, when it is to do neither
        auto stat = worker.slave->start_stat("file");
        const Asked start = evil.read_start();
        evil.send(sends ? evil.part(start, "x") : evil.wish(start, 100));
        CHECK(evil.finish_stat(start, EvilWorker::file, 3));
        CHECK(stat.wait()->size == 3);
      }
    }
    CHECK(evil.is_heard());
  });
  CHECK(prey.is_unharmed());
}

TEST_CASE("M6: no entry of a directory is a path") {
  WorkerPrey prey;
  with_both([&](Speaks speaks) {
    Entered worker(prey, speaks, std::string("evil-") + to_string(speaks));
    EvilWorker& evil = worker.evil;
    const auto list = [&](const Bytes& entries) {
      auto pending = worker.slave->start_list("dir");
      const Asked start = evil.read_start_after_stat(EvilWorker::directory);
      evil.send(evil.output(start, "stdout", to_base64(entries) + "\n"));
      evil.finish(start, 0);
      return pending.wait();
    };
    CHECK(list(Bytes("f 1 644 0.0 file\0d 1 755 0.0 ..x\0", 33)).size() == 2);
    for (const Bytes& name : {Bytes("a/b"), Bytes("/etc/passwd"), Bytes("../x"), Bytes(".."), Bytes("."), Bytes()}) {
      CAPTURE(name);
      const auto error = thrown_by<Error>([&] { list("f 1 644 0.0 " + name + Bytes(1, '\0')); });
      CHECK_MESSAGE(error, "it has listed " << name);
      if (error) CHECK(is_clean(error->what(), 1000));
    }
    for (const Bytes& line : {Bytes("f"), Bytes("f -1 644 0.0 x"), Bytes("f 99999999999999999999 644 0.0 x"),
                              Bytes("f 1 9 0.0 x"), Bytes("f 1 644 x.0 x"), Bytes("f 1 644 0.0 x\0f 1", 17)}) {
      CAPTURE(line);
      const bool is_whole = line.find('\0') == Bytes::npos;
      CHECK(thrown_by<Error>([&] { list(line + (is_whole ? Bytes(1, '\0') : Bytes())); }));
    }
    CHECK(list(Bytes("f 1 644 99999999999999.999999999999 x\0", 38)).size() == 1);
  });
  CHECK(prey.is_unharmed());
}

TEST_CASE("M8: strangers that announce or send much cost little memory, each and together") {
  WorkerPrey prey;
  const std::vector<std::pair<Speaks, Bytes>> rows{
      {Speaks::msgpack, "GET / HTTP/1.1\r\nX: " + Bytes(8100, 'x')},
      {Speaks::msgpack, "GET /" + Bytes(1000, 'x')},
      {Speaks::msgpack, "GET / HTTP/1.1\r\nContent-Length: 99999999999999\r\n"},
      {Speaks::pb, Bytes("\2\202pb") + "\2\200\23\207\6\201" + "\x40\200" + Bytes("\x7f\6\202") + Bytes(600, 's')},
      {Speaks::pb, Bytes("\2\202pb") + "\2\200\23\207\6\201" + "\x40\200" + Bytes("\x7f\x7f\x7f\x7f\7\202")},
      {Speaks::pb, Bytes("\2\202pb") + "\2\200\23\207\6\201" + "\x7f\x7f\x7f\x7f\7\200"},
      {Speaks::pb, Bytes("\2\202pb") + "\2\200\23\207\6\201" + Bytes("\1\200\1\200\1\200\1\200\1\200\1\200\1\200\1")},
      {Speaks::pb, Bytes("\x7f\x7f\x7f\x7f\7\202")},
      {Speaks::pb, Bytes(64, '\1')},
      {Speaks::pb, EvilWorker::pb_login(std::string(1024, 'n'))},
  };
  constexpr std::size_t each = 20;
  std::list<EvilWorker> evils;
  const auto come = [&](std::size_t times) {
    for (const auto& [speaks, bytes] : rows) {
      for (std::size_t i = 0; i < times; ++i) evils.emplace_back(speaks, prey.port()).send(bytes);
    }
  };
  come(1);  // threads, tables and caches are there by now
  evils.clear();
  REQUIRE(prey.is_at_work());
#ifdef REMSH_CAN_COUNT
  const std::size_t before = bytes_in_use();
  come(each);
  REQUIRE(prey.is_at_work());
  const std::size_t used = bytes_taken_since(before) / (rows.size() * each);
  MESSAGE("bytes of a stranger: ", used);
  CHECK(used < 32 * 1024);
#else
  come(each);
#endif
  evils.clear();
  // What goes on for ever is ended.
  for (const Bytes& begun : {Bytes("GET / HTTP/1.1\r\nX: "), Bytes("GET /"), Bytes("GET / HTTP/1.1\r\nX: x\r\n"),
                             Bytes("\2\202pb") + "\2\200\23\207\6\201" + "\1\200\x7f\7\202", Bytes("\1\202p")}) {
    CAPTURE(begun);
    EvilWorker evil(Speaks::pb, prey.port());
    evil.send(begun);
    CHECK(evil.flood("X: x\r\n", 64 * mebibyte) == Flood::ended);
  }
  CHECK(unclean_lines(prey.log_text()) == "");
  CHECK(prey.is_unharmed());
}

TEST_CASE("M3, M8: a worker that has proven its name and is not let in yet can send little") {
  WorkerPrey prey;
  with_both([&](Speaks speaks) {
    const std::string name = std::string("evil-") + to_string(speaks);
    prey.expect(name);
    EvilWorker evil(speaks, prey.port());
    REQUIRE(evil.prove(name, EvilWorker::password_of(name)) == Verdict::in);
    const Bytes message =
        speaks == Speaks::pb
            ? banana_of(buildbot::Expression::list("message", 9, 2, "update", 1, tuple_of({Bytes(600'000, 'x')})))
            : frame_of(Value::dict({{text("op"), text("update")},
                                    {text("seq_number"), 1},
                                    {text("args"), Value::bytes(Bytes(600'000, 'x'))}}));
    CHECK(evil.flood(message, 64 * mebibyte) == Flood::ended);
    CHECK(prey.slaves.find(name) == nullptr);
  });
  CHECK(prey.is_unharmed());
}

TEST_CASE("M8: what a worker announces and never sends costs nothing, and too much of it ends the connection") {
  WorkerPrey prey;
  const Bytes open_call = "\7\200\32\207";  // a list of seven, "message"
  const auto frame_with = [](const Bytes& payload) { return frame_of(2, payload); };
  Bytes deep;
  for (int i = 0; i < 33; ++i) deep += "\1\200";
  struct Row {
    Speaks speaks;
    bool is_ended;
    Bytes bytes;
  };
  const std::vector<Row> rows{
      {Speaks::pb, false, open_call + Bytes("\0\0\50\202", 4)},  // a string of 640 KiB
      {Speaks::pb, true, open_call + Bytes("\1\0\50\202", 4)},   // and one byte more
      {Speaks::pb, true, open_call + "\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\1\202"},
      {Speaks::pb, true, "\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\1\200"},
      {Speaks::pb, false, Bytes("\0\0\50\200", 4)},  // a list of 655,360
      {Speaks::pb, true, Bytes("\1\0\50\200", 4)},
      {Speaks::pb, true, deep},
      {Speaks::pb, true, Bytes(65, '\1')},
      {Speaks::msgpack, false, Bytes("\x82\xff\0\0\0\0\1\0\0\0", 10)},  // a frame of 16 MiB
      {Speaks::msgpack, true, Bytes("\x82\xff\0\0\0\0\1\0\0\1", 10)},
      {Speaks::msgpack, true, Bytes("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 10)},
      {Speaks::msgpack, true, Bytes("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10)},
      {Speaks::msgpack, true, frame_with("\xdd\xff\xff\xff\xff")},  // an array
      {Speaks::msgpack, true, frame_with("\xdf\xff\xff\xff\xff")},  // a map
      {Speaks::msgpack, true, frame_with("\xdb\xff\xff\xff\xff")},  // a text
      {Speaks::msgpack, true, frame_with("\xc6\xff\xff\xff\xff")},  // bytes
      {Speaks::msgpack, true, frame_with("\xdd" + Bytes("\0\x0f\x42\x40", 4))},
      {Speaks::msgpack, true, frame_with(Bytes(100'000, '\x91'))},
      {Speaks::msgpack, true, frame_of(9, Bytes(126, 'p'))},
  };
  int count = 0;
  for (const Row& row : rows) {
    const std::string name = "evil-" + std::to_string(++count);
    CAPTURE(count);
    Entered worker(prey, row.speaks, name);
    REQUIRE(worker.evil.is_heard());
#ifdef REMSH_CAN_COUNT
    const std::size_t before = bytes_in_use();
#endif
    worker.evil.send(row.bytes);
    if (row.is_ended) {
      CHECK(prey.was_breach(name));
    } else {
      REQUIRE(prey.is_at_work());
      CHECK(worker.slave->is_connected());
    }
#ifdef REMSH_CAN_COUNT
    CHECK(bytes_taken_since(before) < mebibyte);
#endif
  }
  CHECK(unclean_lines(prey.log_text()) == "");
  CHECK(prey.is_unharmed());
}

#ifdef REMSH_CAN_COUNT
TEST_CASE("M8, M9: what a worker makes its master hold is bounded, and freed with the connection") {
  WorkerPrey prey;
  with_both([&](Speaks speaks) {
    const std::size_t before = bytes_in_use();
    const std::string name = std::string("evil-") + to_string(speaks);
    {
      Entered worker(prey, speaks, name);
      EvilWorker& evil = worker.evil;
      std::vector<Pending<ExecuteResult>> pending;
      std::vector<Asked> starts;
      for (int i = 0; i < 4; ++i) {
        pending.push_back(worker.slave->start_execute({"yes"}));
        starts.push_back(evil.read_start_after_stat(EvilWorker::directory));
      }
      for (const Asked& start : starts) {
        evil.send(evil.answer(start.number));
        for (const char* key : {"header", "files", "stat", "elapsed", "rc", "failure_reason", "evil"}) {
          const bool is_output = std::string(key) == "header";
          for (int i = 0; i < 2; ++i) {
            evil.send(is_output ? evil.output(start, key, std::string(500'000, 'x'))
                                : evil.update(start, key, text(std::string(500'000, 'x'))));
          }
        }
      }
      REQUIRE(evil.is_heard());
      const std::size_t held = bytes_taken_since(before);
      MESSAGE("bytes that a worker makes its master hold by 28 MB of updates of 4 commands: ", held);
      CHECK(held < 8 * mebibyte);  // half a megabyte for each command, and buffers
    }
    CHECK(eventually([&] { return bytes_in_use() < before + mebibyte; }));
  });
  CHECK(prey.is_unharmed());
}

TEST_CASE("M9: a directory whose entries never end costs its master bounded memory") {
  with_both([&](Speaks speaks) {
    for (const bool follows : {true, false}) {
      CAPTURE(follows);
      WorkerPrey prey;
      const std::string name = std::string("evil-") + to_string(speaks) + (follows ? "-1" : "-2");
      Entered worker(prey, speaks, name);
      EvilWorker& evil = worker.evil;
      std::optional<Pending<std::vector<DirectoryEntry>>> list;
      std::optional<Pending<std::optional<FileInfo>>> stat;
      if (follows) list = worker.slave->start_list("dir");
      if (!follows) stat = worker.slave->start_stat("link", {.follow = false});
      const Asked start = follows ? evil.read_start_after_stat(EvilWorker::directory) : evil.read_start();
      const std::size_t before = bytes_in_use();
      // One name without an end, in base64.
      static_cast<void>(evil.flood(evil.output(start, "stdout", std::string(60'000, 'Z')), 16 * mebibyte));
      const std::size_t held = bytes_taken_since(before);
      MESSAGE("bytes of 16 MiB of one name: ", held);
      CHECK(held < 4 * mebibyte);
      CHECK(prey.is_unharmed());
    }
  });
}

TEST_CASE("M11: floods whose answers are not read are held up or ended") {
  WorkerPrey prey;
  with_both([&](Speaks speaks) {
    Entered worker(prey, speaks, std::string("evil-") + to_string(speaks));
    EvilWorker& evil = worker.evil;
    const std::size_t before = bytes_in_use();
    // In PB with a long number, which the answer has as well.
    const Bytes ping = speaks == Speaks::pb
                           ? banana_of(buildbot::Expression::list("message", INT64_MAX, 2, "keepalive", 1, tuple_of({}),
                                                                  buildbot::Expression::list("dictionary")))
                           : frame_of(9, Bytes(125, 'p'));
    static_cast<void>(evil.flood(ping, 4 * mebibyte, 500ms));
    const std::size_t held = bytes_taken_since(before);
    MESSAGE("bytes of answers to a flood of pings that nobody reads: ", held);
    CHECK(held < 3 * mebibyte);
  });
  CHECK(prey.is_unharmed());
}

TEST_CASE("M11: answers to updates that are not read are held up or ended") {
  WorkerPrey prey;
  Entered worker(prey, Speaks::msgpack, "evil");  // in PB it is the same as for pings
  auto stat = worker.slave->start_stat("file");
  const Asked start = worker.evil.read_start();
  const std::size_t before = bytes_in_use();
  const Bytes update = worker.evil.call("update", start.command, {text("args"), Value::list({})});
  static_cast<void>(worker.evil.flood(update, 8 * mebibyte, 500ms));
  const std::size_t held = bytes_taken_since(before);
  MESSAGE("bytes of answers to a flood of updates that nobody reads: ", held);
  CHECK(held < 3 * mebibyte);
  CHECK(prey.is_unharmed());
}

TEST_CASE("M11: a worker that reads nothing is not sent more and more by callers that leave") {
  WorkerPrey prey;
  with_both([&](Speaks speaks) {
    Entered worker(prey, speaks, std::string("evil-") + to_string(speaks));
    const std::size_t before = bytes_in_use();
    const Bytes path(3'000, 'p');
    static_cast<void>(worker.slave->start_stat(path));  // which is no error by itself
    try {
      for (int i = 0; i < 2'000; ++i) static_cast<void>(worker.slave->start_stat(path));  // and nobody waits for it
    } catch (const Error&) {                                                              // a limit is as good
    }
    const std::size_t held = bytes_taken_since(before);
    MESSAGE("bytes of 6 MB of commands that nobody reads: ", held);
    CHECK(held < 12 * mebibyte);
  });
  CHECK(prey.is_unharmed());
}
#endif

TEST_CASE("M11: floods that need no answer cost nothing, and those of answers end the connection") {
  WorkerPrey prey;
  with_both([&](Speaks speaks) {
    const std::string name = std::string("evil-") + to_string(speaks);
    Entered worker(prey, speaks, name);
#ifdef REMSH_CAN_COUNT
    const std::size_t before = bytes_in_use();
#endif
    const Bytes quiet =
        speaks == Speaks::pb ? banana_of(buildbot::Expression::list("decref", 5)) : frame_of(10, Bytes(125, 'p'));
    CHECK(worker.evil.flood(quiet, 2 * mebibyte) == Flood::taken);
    CHECK(worker.evil.is_heard());
#ifdef REMSH_CAN_COUNT
    CHECK(bytes_taken_since(before) < mebibyte);
#endif
    if (speaks == Speaks::msgpack) {  // fragments without an end
      CHECK(worker.evil.send(frame_of(2, "x", false)));
      CHECK(worker.evil.flood(frame_of(0, Bytes(1000, 'x'), false), 64 * mebibyte) == Flood::ended);
    } else {
      CHECK(worker.evil.flood(worker.evil.answer(1), 64 * mebibyte) == Flood::ended);
    }
    CHECK(prey.was_breach(name));
  });
  CHECK(prey.is_unharmed());
}

TEST_CASE("M12: output without an end, and silence, hold up who calls that worker, and nobody else") {
  WorkerPrey prey;
  with_both([&](Speaks speaks) {
    Entered endless(prey, speaks, std::string("endless-") + to_string(speaks));
    Entered silent(prey, speaks, std::string("silent-") + to_string(speaks));
    EvilWorker& evil = endless.evil;
    auto command = endless.slave->start_execute({"yes"}, {.out = [](BytesView) {}});
    const Asked start = evil.read_start_after_stat(EvilWorker::directory);
    std::vector<Pending<std::optional<FileInfo>>> pending;
    pending.reserve(100);
    for (int i = 0; i < 100; ++i) pending.push_back(silent.slave->start_stat("file"));
#ifdef REMSH_CAN_COUNT
    const std::size_t before = bytes_in_use();
#endif
    // Nobody drives the command, so its output waits.
    const Flood flood = evil.flood(evil.output(start, "stdout", std::string(50'000, 'x')), 16 * mebibyte, 500ms);
    CHECK(flood == Flood::held_up);
#ifdef REMSH_CAN_COUNT
    CHECK(bytes_taken_since(before) < 8 * mebibyte);
#endif
    for (int i = 0; i < 20; ++i) REQUIRE(prey.is_unharmed());
    for (auto& one : pending) CHECK_FALSE(one.wait_until(no_wait));
    CHECK_THROWS_AS(silent.slave->ping({.deadline = 1ms}), Timeout);
  });
}

TEST_CASE("M12: the end of a worker with thousands of commands that their callers have left holds up nobody") {
  WorkerPrey prey;
  std::optional<Entered> worker(std::in_place, prey, Speaks::msgpack, "evil");
  // It answers pings, and no command, for as long as it likes.
  for (int i = 0; i < 2'000; ++i) static_cast<void>(worker->slave->start_stat("file"));
  const auto slave = worker->slave;
  worker->evil.hang_up();
  REQUIRE(eventually([&] { return !slave->is_connected(); }));
  const Entered next(prey, Speaks::msgpack, "next");
  CHECK(prey.is_unharmed());
}

TEST_CASE("M12: a caller that calls the worker again while output comes gets its answer, and the memory is bounded") {
  WorkerPrey prey;
  with_both([&](Speaks speaks) {
    Entered worker(prey, speaks, std::string("evil-") + to_string(speaks));
    EvilWorker& evil = worker.evil;
    bool has_asked = false;
    bool was_answered = false;
    auto command = worker.slave->start_execute({"yes"}, {.out = [&](BytesView) {
                                                 if (std::exchange(has_asked, true)) return;
                                                 was_answered = !worker.slave->stat("file").has_value();
                                               }});
    const Asked start = evil.read_start_after_stat(EvilWorker::directory);
    evil.send(evil.answer(start.number) + evil.output(start, "stdout", "x"));
    std::size_t held = 0;
    std::thread plays([&] {
#ifdef REMSH_CAN_COUNT
      const std::size_t before = bytes_in_use();
#endif
      const Asked inner = evil.read_start();
      const Bytes much = evil.output(start, "stdout", std::string(60'000, 'x'));
      for (int i = 0; i < 1500; ++i) evil.send(much);  // 90 MB
#ifdef REMSH_CAN_COUNT
      held = bytes_taken_since(before);
#endif
      evil.send(evil.update(inner, "rc", 2) + evil.complete(inner));
      evil.send(evil.update(start, "rc", 0) + evil.complete(start));
    });
    const auto error = thrown_by<Error>([&] { command.wait(); });
    plays.join();
    CHECK(was_answered);
    REQUIRE(error);
    INFO(error->message());
    CHECK(error->code() == Errc::too_large);
    MESSAGE("bytes of 90 MB that wait for a caller who calls again: ", held);
    CHECK(held < 100 * mebibyte);
    CHECK(evil.is_heard());
  });
  CHECK(prey.is_unharmed());
}

TEST_CASE("M13: what a worker says in errors and in its info is cut, and does nothing to a terminal") {
  WorkerPrey prey;
  with_both([&](Speaks speaks) {
    const std::string name = std::string("evil-") + to_string(speaks);
    prey.expect(name);
    EvilWorker evil(speaks, prey.port());
    REQUIRE(evil.log_in(name, usual_info({{text("version"), text(nasty_text + std::string(1000, 'v'))}})));
    const auto slave = prey.find(name);
    CHECK(is_clean(slave->info().software, 16 + 4 * 64));
    const auto check = [&](const char* what, const auto& says) {
      CAPTURE(what);
      auto stat = slave->start_stat("file");
      says(evil.read_start());
      const auto error = thrown_by<Error>([&] { stat.wait(); });
      REQUIRE(error);
      CHECK(is_clean(error->what(), 20'000));
      CHECK(is_clean(error->message(), 20'000));
    };
    check("the start fails", [&](const Asked& start) { evil.send(evil.failure(start.number, nasty)); });
    check("the command fails", [&](const Asked& start) { evil.send(evil.complete(start, nasty)); });
    check("it says so on stderr", [&](const Asked& start) {
      evil.send(evil.output(start, "stderr", nasty) + evil.update(start, "rc", 1) + evil.complete(start));
    });
    check("an unknown errno",
          [&](const Asked& start) { evil.send(evil.update(start, "rc", INT64_MAX) + evil.complete(start)); });
    check("no stat", [&](const Asked& start) {
      evil.send(evil.update(start, "stat", text(nasty)) + evil.update(start, "rc", 0) + evil.complete(start));
    });
    auto last = slave->start_stat("file");
    const Asked start = evil.read_start();
    evil.send(speaks == Speaks::pb
                  ? evil.call(start.object, nasty, {}) + banana_of(buildbot::Expression::list(Bytes(nasty)))
                  : evil.call(nasty, start.command));
    CHECK(prey.was_breach(name));
    const auto lost = thrown_by<Error>([&] { last.wait(); });
    REQUIRE(lost);
    CHECK(is_clean(lost->what(), 1000));
    CHECK(is_clean(slave->lost_reason(), 1000));
  });
  CHECK(unclean_lines(prey.log_text()) == "");
  CHECK(prey.is_unharmed());
}

TEST_CASE("M13: what a stranger says before it is let in is cut in the log") {
  WorkerPrey prey;
  const std::string long_name(1000, '\xff');
  const Bytes version =
      banana_of("pb", buildbot::Vocabulary::none) + banana_of(buildbot::Expression::list("version", 6));
  const auto login = [&](const Bytes& name) {
    return version + banana_of(buildbot::Expression::list("message", 1, "root", "login", 1, tuple_of({name}),
                                                          buildbot::Expression::list("dictionary")));
  };
  const std::vector<std::pair<Speaks, Bytes>> rows{
      {Speaks::pb, login(long_name) + banana_of(buildbot::Expression::list("evil"))},
      {Speaks::pb, login(Bytes("a\nhonest: disconnected: x\x1b[2J")) + banana_of(buildbot::Expression::list("evil"))},
      {Speaks::pb, version + banana_of(buildbot::Expression::list(Bytes(1000, '\n')))},
      {Speaks::pb,
       version + banana_of(buildbot::Expression::list("message", 1, "root", Bytes(1000, '\n'), 1, tuple_of({}),
                                                      buildbot::Expression::list("dictionary")))},
      {Speaks::msgpack, upgrade_request(std::string(5000, '\n'), "x")},
      {Speaks::msgpack, "GET /\x1b[2J HTTP/1.1\r\n\r\n"},
      {Speaks::msgpack, "GET / HTTP/1.1\r\n" + Bytes(1000, '\x1b') + ": x\r\n\r\n"},
  };
  for (const auto& [speaks, bytes] : rows) {
    EvilWorker evil(speaks, prey.port());
    evil.send(bytes);
    static_cast<void>(evil.read_to_end());
  }
  REQUIRE(eventually([&] {
    const std::string log = prey.log_text();
    std::size_t lines = 0;
    for (std::size_t at = 0; (at = log.find("not let in", at)) != std::string::npos; ++at) ++lines;
    return lines >= rows.size();
  }));
  CHECK(unclean_lines(prey.log_text()) == "");
  CHECK(prey.log_text().find("\nhonest: disconnected") == std::string::npos);
  CHECK(prey.is_unharmed());
}

namespace {

/// A value of any kind, with values in it. Texts are words of the protocols more often than not.
Value random_value(Random& random, int depth) {
  static const std::vector<std::string> words{"op",     "args",   "stdout", "rc",       "log",  "header",    "stat",
                                              "update", "result", "files",  "complete", "0",    "",          "elapsed",
                                              "remote", "tuple",  "path",   "message",  "\x01", "command_id"};
  switch (random() % (depth > 0 ? 10 : 6)) {
    case 0: return {};
    case 1: return one_in(random, 2);
    case 2: return static_cast<std::int64_t>(random() % 300) - 20;
    case 3: return 0.5 * static_cast<double>(random() % 1000);
    case 4: return Value::bytes(Bytes(random() % 2000, 'b'));
    case 5: return text(words[random() % words.size()]);
    case 6:
    case 7: {
      std::vector<Value> items;
      for (auto size = random() % 4; size > 0; --size) items.push_back(random_value(random, depth - 1));
      return one_in(random, 4) ? Value::tuple(std::move(items)) : Value::list(std::move(items));
    }
    default: {
      Value::Dict dict;
      for (auto size = random() % 4; size > 0; --size) {
        dict.keys.push_back(text(words[random() % words.size()]));
        dict.values.push_back(random_value(random, depth - 1));
      }
      return Value::What(std::move(dict));
    }
  }
}

/// A message of the right form about a command, more often than not of one that runs.
Bytes random_message(Random& random, EvilWorker& evil, const Asked& start) {
  switch (random() % 12) {
    case 0: return evil.answer(static_cast<std::int64_t>(random() % 12), random_value(random, 2));
    case 1: return evil.failure(static_cast<std::int64_t>(random() % 12), "evil");
    case 2: return evil.part(start, Bytes(random() % 3000, 'd'));
    case 3: return evil.wish(start, static_cast<std::int64_t>(random() % 1000) - 10);
    case 4: return one_in(random, 4) ? evil.complete(start) : evil.output(start, "stderr", "words");
    case 5:
      return evil.speaks() == Speaks::pb
                 ? evil.call(static_cast<std::int64_t>(random() % 8), "close", {jelly_of(random_value(random, 3))})
                 : frame_of(random_value(random, 3));
    case 6: {
      const char* const keys[] = {"stdout", "stat", "files", "rc", "log", "header", "elapsed", "x"};
      return evil.update(start, keys[random() % 8], random_value(random, 3));
    }
    case 7: return evil.update(start, "rc", static_cast<std::int64_t>(random() % 512) - 1);
    case 8: return evil.update(start, "stat", Value::list(std::vector<Value>(10, Value(random()))));
    default: return evil.output(start, one_in(random, 2) ? "stdout" : "header", std::string(random() % 3000, 'x'));
  }
}

/// Bytes at random, or a message of which some are changed, added or missing.
Bytes random_bytes_of(Random& random, EvilWorker& evil, const Asked& start) {
  Bytes bytes;
  if (one_in(random, 2)) {
    for (auto size = 1 + random() % 200; size > 0; --size) bytes += static_cast<char>(random());
    return evil.speaks() == Speaks::msgpack && one_in(random, 2) ? frame_of(2, bytes) : bytes;
  }
  bytes = random_message(random, evil, start);
  for (auto changes = 1 + random() % 4; changes > 0; --changes) {
    bytes[random() % bytes.size()] = static_cast<char>(random());
  }
  if (one_in(random, 4)) bytes.resize(1 + random() % bytes.size());
  return bytes;
}

/// Plays workers that say things at random, until `wanted` were said. Returns how many workers that took.
template <class Say>
int play_at_random(WorkerPrey& prey, Speaks speaks, Random& random, int wanted, const std::string& names, Say say) {
  const TempDir here;
  Bytes memory;
  int evils = 0;
  for (int said = 0; said < wanted;) {
    Entered worker(prey, speaks, names + std::to_string(++evils));
    EvilWorker& evil = worker.evil;
    auto stat = worker.slave->start_stat("file");
    std::vector<Asked> starts{evil.read_start()};
    auto command =
        worker.slave->start_execute({"cat"}, {.in = Source::bytes(Bytes(100'000, 'i')), .log_files = {{"l", "log"}}});
    starts.push_back(evil.read_start_after_stat(EvilWorker::directory));
    auto fetch =
        worker.slave->start_fetch("file", Sink::file(here / "fetched"), {.overwrite = true, .max_bytes = 100'000});
    starts.push_back(evil.read_start_after_stat(EvilWorker::file));
    auto other = worker.slave->start_fetch("file", Sink::bytes(memory), {.max_bytes = 100'000});
    starts.push_back(evil.read_start_after_stat(EvilWorker::file));
    auto list = worker.slave->start_list("dir");
    starts.push_back(evil.read_start_after_stat(EvilWorker::directory));
    for (bool is_there = true; is_there && said < wanted; ++said) {
      is_there = evil.send(say(random, evil, starts[random() % starts.size()])) && !evil.has_ended();
      command.poll([] {});
      fetch.poll([] {});
      other.poll([] {});
      list.poll([] {});
    }
    evil.hang_up();
    REQUIRE(is_over(stat));
    REQUIRE(is_over(command));
    REQUIRE(is_over(fetch));
    REQUIRE(is_over(other));
    REQUIRE(is_over(list));
    if (evils % 100 == 0) REQUIRE(prey.is_unharmed());
  }
  CHECK(here.count() <= 1);
  return evils;
}

}  // namespace

TEST_CASE("M14: messages at random cost their senders the connection, and the master nothing") {
  const std::string wanted = setting("REMSH_STRESS_SEED", "");
  const unsigned seed = wanted.empty() ? std::random_device{}() : static_cast<unsigned>(std::stoul(wanted));
  INFO("REMSH_STRESS_SEED=", seed);
  const int count = std::stoi(setting("REMSH_HOSTILE_MESSAGES", "400"));
  Random random(seed);
  WorkerPrey prey;
  with_both([&](Speaks speaks) {
    const std::string names = to_string(speaks);
    const int of_bytes = play_at_random(prey, speaks, random, count, names + "-bytes-", random_bytes_of);
    const int of_messages = play_at_random(prey, speaks, random, count, names + "-messages-", random_message);
    MESSAGE(names, ": ", count, " times bytes of ", of_bytes, " workers, as many messages of ", of_messages,
            ", REMSH_STRESS_SEED=", seed);
  });
  CHECK(unclean_lines(prey.log_text()) == "");
  CHECK(prey.is_unharmed());
}

}  // namespace remsh::test
