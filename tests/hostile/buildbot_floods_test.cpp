// What a worker of Buildbot can make its master hold, in both of its protocols: what is bounded. Each rule has a
// number, which docs/security.md explains.
#include "hostile/buildbot_play.hpp"
#include "support/memory_in_use.hpp"

#include <list>
#include <thread>
#include <vector>

namespace remsh::test::buildbot_floods_test {

using namespace buildbot_play;

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

}  // namespace remsh::test::buildbot_floods_test
