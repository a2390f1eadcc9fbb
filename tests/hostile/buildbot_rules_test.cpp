// What a worker of Buildbot may say, in both of its protocols: what is on these lists. Each rule has a number, which
// docs/security.md explains.
#include "hostile/buildbot_play.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <vector>

namespace remsh::test::buildbot_rules_test {

using namespace buildbot_play;

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

}  // namespace remsh::test::buildbot_rules_test
