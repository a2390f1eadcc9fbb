// What a worker of Buildbot says in errors, in its info and at random, in both of its protocols, does nothing. Each
// rule has a number, which docs/security.md explains.
//
// REMSH_STRESS_SEED repeats the random messages of a run, REMSH_HOSTILE_MESSAGES says how many.
#include "hostile/buildbot_play.hpp"
#include "support/stress.hpp"

#include <random>
#include <vector>

namespace remsh::test::buildbot_words_test {

using namespace buildbot_play;

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

}  // namespace remsh::test::buildbot_words_test
