// What a stranger that claims to be a worker of Buildbot can do to a master before it is let in: nothing. Each rule has
// a number, which docs/security.md explains.
#include "hostile/buildbot_play.hpp"

#include <algorithm>
#include <list>
#include <vector>

namespace remsh::test::buildbot_login_test {

using namespace buildbot_play;

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

}  // namespace remsh::test::buildbot_login_test
