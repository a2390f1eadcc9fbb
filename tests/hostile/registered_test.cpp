// What a slave that is registered can make its master do: nothing. Each rule has a number, which docs/security.md
// explains.
//
// REMSH_STRESS_SEED repeats the random boxes of a run.
#include "hostile/prey.hpp"
#include "support/memory_in_use.hpp"
#include "support/stress.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <vector>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

/// What docs/protocol.md and docs/remsh1.md write in code style and might be taken for a command: all commands among
/// them, also those that somebody adds, and much else.
std::set<std::string> words_of_the_documents() {
  const char* const documents = std::getenv("REMSH_DOCUMENTS");
  REQUIRE_MESSAGE(documents, "to be run by meson test, which says where the documents are");
  std::set<std::string> words{"Hello", "Execute", "__init__", "reload", "fork", " ", "/bin/sh"};
  for (const char* name : {"/protocol.md", "/remsh1.md"}) {
    std::ifstream file(std::string(documents) + name, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    REQUIRE_FALSE(text.empty());
    const auto is_of_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
    for (std::size_t at = 0; (at = text.find('`', at)) != std::string::npos;) {
      const std::size_t end = text.find('`', ++at);
      if (end == std::string::npos) break;
      const std::string word = text.substr(at, end - at);
      if (!word.empty() && word.size() <= 64 && std::all_of(word.begin(), word.end(), is_of_word)) words.insert(word);
      at = end + 1;
    }
  }
  return words;
}

/// Arguments that would do for any operation, and do harm.
Box arguments(const Prey& prey, const Bytes& op, const Bytes& stream) {
  return {{"args", "touch\0" + prey.honeypot("new") + Bytes(1, '\0')},
          {"bytes", "1"},
          {"data", "x"},
          {"from", prey.honeypot("key")},
          {"mode", "777"},
          {"name", "honest"},
          {"op", op},
          {"overwrite", "1"},
          {"path", prey.honeypot("list")},
          {"stream", stream},
          {"to", prey.honeypot("list")}};
}

}  // namespace

TEST_CASE("M1, M7: a master takes of a slave the boxes of this list, and does nothing for it") {
  const std::vector<std::string> expected{
      "execute, box credit of in",
      "execute, box data of err",
      "execute, box data of out",
      "execute, box draining of err",
      "execute, box draining of in",
      "execute, box draining of out",
      "execute, box goodbye of err",
      "execute, box goodbye of in",
      "execute, box goodbye of out",
      "execute, call ping",
      "idle, box draining of err",
      "idle, box draining of in",
      "idle, box draining of out",
      "idle, box goodbye of err",
      "idle, box goodbye of in",
      "idle, box goodbye of out",
      "idle, call ping",
      "stat, box draining of err",
      "stat, box draining of in",
      "stat, box draining of out",
      "stat, box goodbye of err",
      "stat, box goodbye of in",
      "stat, box goodbye of out",
      "stat, call ping",
  };
  const std::set<std::string> words = words_of_the_documents();
  for (const char* word : {"hello",  "prove",   "ping",   "draining", "goodbye", "data",    "end",    "credit",
                           "cancel", "set_cwd", "getenv", "info",     "mkdir",   "remove",  "rename", "copy",
                           "stat",   "execute", "send",   "fetch",    "print",   "shutdown"}) {
    REQUIRE(words.contains(word));
  }
  Prey prey;
  std::vector<std::string> taken;
  int count = 0;
  for (const std::string state : {"execute", "idle", "stat"}) {
    for (const std::string& word : words) {
      for (const std::string stream : {"", "err", "in", "out"}) {
        const std::string name = "evil-" + std::to_string(++count);
        EvilSlave evil(prey.port());
        REQUIRE(evil.register_as(name));
        std::optional<Pending<ExecuteResult>> command;
        std::optional<Pending<std::optional<FileInfo>>> stat;
        Bytes tag = "1";
        if (state == "execute") {
          command = prey.find(name)->start_execute({"ls"}, {.in = [](std::span<char>) { return std::size_t{0}; }});
          tag = evil.read_call("execute").get("op").value_or("");
        } else if (state == "stat") {
          stat = prey.find(name)->start_stat("file");
          tag = evil.read_call("stat").get("_ask").value_or("");
        }
        Box box = arguments(prey, tag, stream.empty() ? "out" : stream);
        box.set("_command", word);
        if (stream.empty()) box.set("_ask", "7");
        evil.send(box);
        if (evil.is_heard() || !prey.was_breach(name)) {
          taken.push_back(state + (stream.empty() ? ", call " + word : ", box " + word + " of " + stream));
        }
      }
    }
  }
  MESSAGE(count, " boxes");
  std::sort(taken.begin(), taken.end());
  CHECK(taken == expected);
  CHECK(prey.is_unharmed());
}

TEST_CASE("M2: an answer is for the call that is open under its tag, on its own connection") {
  Prey prey;
  EvilSlave first(prey.port());
  EvilSlave second(prey.port());
  REQUIRE(first.register_as("first"));
  REQUIRE(second.register_as("second"));
  auto of_first = prey.find("first")->start_stat("file");
  const Bytes tag = first.read_call("stat").get("_ask").value_or("");
  CHECK(second.send(Box{{"_answer", tag}, {"type", "missing"}}));  // which the other one has in use
  CHECK(prey.was_breach("second"));
  CHECK_FALSE(of_first.wait_until(no_wait));
  CHECK(first.send(Box{{"_answer", tag}, {"type", "missing"}}));
  CHECK_FALSE(of_first.wait());
  CHECK(first.send(Box{{"_answer", tag}, {"type", "missing"}}));  // once more
  CHECK(prey.was_breach("first"));
  CHECK(prey.is_unharmed());
}

TEST_CASE("M3: a slave is who its handshake says, whatever its boxes and its words call it") {
  Prey prey;
  EvilSlave evil(prey.port());
  REQUIRE(evil.register_as("evil"));
  auto call = prey.find("evil")->start_call("own");
  const Bytes tag = evil.read_call("own").get("_ask").value_or("");
  CHECK(evil.send(Box{{"_ask", "1"}, {"_command", "ping"}, {"name", "honest"}}));
  CHECK(evil.send(Box{{"_answer", tag}, {"name", "honest"}}));
  CHECK(call.wait() == Box{{"name", "honest"}});  // which is data
  CHECK(evil.send(Box{{"_command", "goodbye"}, {"name", "honest"}, {"reason", "x\nhonest: disconnected: \x1b[2J"}}));
  CHECK_FALSE(prey.was_breach("evil"));
  const std::string log = prey.log_text();
  CHECK(log.find('\x1b') == std::string::npos);
  CHECK(log.find("\nhonest: disconnected") == std::string::npos);
  EvilSlave twin(prey.port());
  CHECK_FALSE(twin.register_as("honest"));
  CHECK(prey.is_unharmed());
}

TEST_CASE("M5: what is fetched goes where the caller said and nowhere else, whatever comes with it") {
  Prey prey;
  EvilSlave evil(prey.port());
  REQUIRE(evil.register_as("evil"));
  const auto slave = prey.find("evil");
  const TempDir here;
  const auto fetch = [&](TransferOptions options, const std::string& mode, const std::string& total) {
    options.overwrite = true;
    auto pending = slave->start_fetch("file", Sink::file(here / "fetched"), std::move(options));
    const Box call = evil.read_call("fetch");
    Box data = arguments(prey, Bytes(call.get("op").value_or("")), "out");
    data.set("_command", "data");
    data.set("data", "0123456789");
    data.set("total", total);
    evil.send(data);
    Box answer = arguments(prey, "", "");
    answer.set("_answer", Bytes(call.get("_ask").value_or("")));
    answer.set("bytes", "10");
    answer.set("mode", mode);
    evil.send(answer);
    return pending;
  };
  for (const char* mode : {"7777", "6755", "4000"}) {
    CAPTURE(mode);
    CHECK(fetch({}, mode, "10").wait().bytes == 10);
    struct stat what {};
    REQUIRE(::stat((here / "fetched").c_str(), &what) == 0);
    CHECK((what.st_mode & 07022) == 0);
    CHECK(here.read("fetched") == "0123456789");
  }
  for (const char* total : {"0", "1", "18446744073709551615", "-1", "x", ""}) {
    CAPTURE(total);
    CHECK(fetch({}, "644", total).wait().bytes == 10);
  }
  CHECK(thrown_by<Error>([&] { fetch({.max_bytes = 9}, "644", "1").wait(); })->code() == Errc::too_large);
  CHECK(here.read("fetched") == "0123456789");  // as it was
  for (const char* mode : {"", "77777", "8", "-1"}) CHECK(thrown_by<Error>([&] { fetch({}, mode, "10").wait(); }));
  CHECK(here.count() == 1);
  CHECK(prey.is_unharmed());
}

TEST_CASE("M8: max_bytes bounds what is fetched, whatever else the slave sends") {
  Prey prey;
  EvilSlave evil(prey.port());
  REQUIRE(evil.register_as("evil"));
  const auto slave = prey.find("evil");
  for (const Bytes& stream : {Bytes("err"), Bytes("log"), Bytes("header")}) {
    CAPTURE(stream);
    const TempDir here;
    auto pending = slave->start_fetch("file", Sink::file(here / "fetched"), {.max_bytes = 10});
    const Bytes op(evil.read_call("fetch").get("op").value_or(""));
    // More than max_bytes, so that a limit of "max_bytes less all that came" would be huge.
    evil.send(Box{{"_command", "data"}, {"data", Bytes(100, 'x')}, {"op", op}, {"stream", stream}});
    evil.send(Box{{"_command", "data"}, {"data", Bytes(5000, 'y')}, {"op", op}, {"stream", "out"}});
    CHECK(thrown_by<Error>([&] { pending.wait(); })->code() == Errc::too_large);
    CHECK(here.count() == 0);
  }
}

#ifdef REMSH_CAN_COUNT
TEST_CASE("M8, M9, M10: a slave makes its master hold what credit allows, and gets it back with the connection") {
  constexpr std::size_t window = 65536;
  constexpr int commands = 64;
  Prey prey;
  EvilSlave evil(prey.port());
  REQUIRE(evil.register_as("evil"));
  const auto slave = prey.find("evil");
  auto [pending, ops] = start_commands(*slave, evil, commands);
  Bytes box = encode(Box{{"_command", "data"}, {"data", Bytes(65535, 'x')}});
  box.resize(box.size() - 2);
  for (char key = 'a'; key < 'o'; ++key) {  // and a box of just under 1 MiB that does not end
    box += Bytes("\0\1", 2) + key + Bytes("\xff\xff") + Bytes(65535, 'x');
  }
  const std::size_t before = bytes_in_use();
  const auto send = [&](const Bytes& op, const Bytes& stream, const Bytes& data) {
    evil.send(Box{{"_command", "data"}, {"data", data}, {"op", op}, {"stream", stream}});
  };
  for (const Bytes& op : ops) {  // all that may be sent: half of it in large pieces, half in the smallest that count
    send(op, "out", Bytes(window - 1, 'x'));
    for (std::size_t sent = 0; sent < window; sent += 64) send(op, "err", "x");
  }
  REQUIRE(evil.is_heard());
  evil.send(box);
  CHECK(eventually([&] { return bytes_in_use() > before + commands * window + box.size() / 2; }));
  const std::size_t held = bytes_taken_since(before);
  MESSAGE("bytes that a hostile slave makes its master hold with ", commands, " commands: ", held);
  CHECK(held < 24 * 1024 * 1024);  // a large piece keeps what was read around it (docs/decisions/0048)
  CHECK(prey.is_unharmed());
  for (const char* junk : {"p", "q", "r"}) evil.send(Bytes("\0\1", 2) + junk + Bytes("\xff\xff") + Bytes(65535, 'x'));
  CHECK(prey.was_breach("evil"));
  check_breached(std::move(pending));
  CHECK(eventually([&] { return bytes_in_use() < before + 1024 * 1024; }));
  CHECK(prey.is_unharmed());
}
#endif

TEST_CASE("M10: a byte over the credit ends the connection, in pieces of any size") {
  Prey prey;
  for (const std::size_t size : {1U, 64U, 1000U, 65535U}) {
    CAPTURE(size);
    const std::string name = "evil-" + std::to_string(size);
    EvilSlave evil(prey.port());
    REQUIRE(evil.register_as(name));
    auto pending = prey.find(name)->start_execute({"yes"});
    const Bytes op = Bytes(evil.read_call("execute").get("op").value_or(""));
    const Bytes box = encode(Box{{"_command", "data"}, {"data", Bytes(size, 'x')}, {"op", op}, {"stream", "out"}});
    std::size_t sent = 0;
    while (sent < 10000 && evil.send(box)) ++sent;
    CHECK(prey.was_breach(name));
    CHECK_THROWS_AS(pending.wait(), ProtocolError);
  }
  CHECK(prey.is_unharmed());
}

TEST_CASE("M11: a flood of pings whose answers are not read is ended") {
  Prey prey;
  EvilSlave evil(prey.port());
  REQUIRE(evil.register_as("evil"));
  Bytes pings;
  for (int i = 0; i < 1000; ++i) pings += encode(Box{{"_ask", "1"}, {"_command", "ping"}});
  std::size_t sent = 0;
  while (sent < 100'000 && evil.send(pings)) ++sent;
  CHECK(sent < 100'000);  // 3 GB of them
  CHECK(prey.was_breach("evil"));
  CHECK(prey.is_unharmed());
}

TEST_CASE("M12: slaves that neither answer nor read hold up who calls them, and nobody else") {
  Prey prey;
  std::vector<EvilSlave> evils;
  std::vector<Pending<Box>> pending;
  const Bytes large(900'000, 'x');
  for (int i = 0; i < 8; ++i) {
    const std::string name = "evil-" + std::to_string(i);
    EvilSlave& evil = evils.emplace_back(prey.port());
    REQUIRE(evil.register_as(name));
    const auto slave = prey.find(name);
    for (int j = 0; j < 4; ++j) pending.push_back(slave->start_call("own", {{"large", large}}));
  }
  for (int i = 0; i < 100; ++i) REQUIRE(prey.is_unharmed());
  for (auto& one : pending) CHECK_FALSE(one.wait_until(no_wait));
  CHECK_THROWS_AS(prey.find("evil-0")->ping({.deadline = 1ms}), Timeout);
}

TEST_CASE("M13: what a slave says in errors and reasons is cut, and does nothing to a terminal") {
  const Bytes nasty = "\x1b]0;owned\x07\r\n\x1b[2J%s%n\xff\xfe\xe2\x80\xae" + Bytes(60'000, 'x');
  Prey prey;
  EvilSlave evil(prey.port());
  REQUIRE(evil.register_as("evil"));
  const auto slave = prey.find("evil");
  const auto is_clean = [](const std::string& text) {
    return text.size() < 20'000 && std::none_of(text.begin(), text.end(), [](char c) {
             return static_cast<unsigned char>(c) < 0x20 || c == '\x7f' || c == '\xff';
           });
  };
  for (const char* code : {"FAILED", "ENOENT", "E\x1b[2J", "UNHANDLED", "CANCELLED", "\x1b[2J"}) {
    CAPTURE(code);
    auto call = slave->start_stat("file");
    const Bytes tag = Bytes(evil.read_call("stat").get("_ask").value_or(""));
    evil.send(Box{{"_error", tag}, {"_error_code", code}, {"_error_description", nasty}});
    const auto error = thrown_by<Error>([&] { call.wait(); });
    REQUIRE(error);
    CHECK(is_clean(error->what()));
    CHECK(is_clean(error->message()));
  }
  auto last = slave->start_stat("file");
  evil.send(Box{{"_command", "goodbye"}, {"reason", nasty}});
  const auto lost = thrown_by<ConnectionLost>([&] { last.wait(); });
  REQUIRE(lost);
  CHECK(is_clean(lost->what()));
  CHECK(is_clean(slave->lost_reason()));
  CHECK_FALSE(prey.was_breach("evil"));
  EvilSlave other(prey.port());
  REQUIRE(other.register_as("other"));
  other.send(Box{{"_ask", "1"}, {"_command", nasty}});
  CHECK(prey.was_breach("other"));
  std::string line;
  for (const char c : prey.log_text()) {
    if (c != '\n') {
      line += c;
    } else {
      CAPTURE(line);
      CHECK(is_clean(line));
      line.clear();
    }
  }
  CHECK(prey.is_unharmed());
}

TEST_CASE("M14: ten thousand boxes at random cost their senders the connection, and the master nothing") {
  const std::string wanted = setting("REMSH_STRESS_SEED", "");
  const unsigned seed = wanted.empty() ? std::random_device{}() : static_cast<unsigned>(std::stoul(wanted));
  Random random(seed);
  const std::vector<Bytes> words{"data", "data",    "data", "data",  "end",   "credit",  "cancel", "ping",
                                 "ping", "execute", "stat", "hello", "prove", "goodbye", ""};
  const std::vector<Bytes> keys{"_answer", "_ask",   "_error", "_error_code", "_error_description",
                                "bytes",   "exit",   "files",  "files~0001",  "mode",
                                "path",    "signal", "total",  "type",        "\x01"};
  const std::vector<Bytes> values{"",
                                  "0",
                                  "1",
                                  "2",
                                  "3",
                                  "644",
                                  "-1",
                                  "18446744073709551616",
                                  "file",
                                  "x\x01y",
                                  Bytes(1, '\0'),
                                  Bytes(65535, 'v'),
                                  "out",
                                  "err",
                                  "in"};
  const auto any = [&random](const std::vector<Bytes>& of) { return of[random() % of.size()]; };
  Prey prey;
  const TempDir here;
  Bytes memory;
  int boxes = 0;
  int evils = 0;
  while (boxes < 10'000) {
    const std::string name = "evil-" + std::to_string(++evils);
    EvilSlave evil(prey.port());
    REQUIRE(evil.register_as(name));
    const auto slave = prey.find(name);
    auto stat = slave->start_stat("file");
    auto command = slave->start_execute({"cat"}, {.in = Source::bytes(Bytes(100'000, 'i'))});
    auto fetch = slave->start_fetch("file", Sink::file(here / "fetched"), {.overwrite = true, .max_bytes = 100'000});
    auto other = slave->start_fetch("file", Sink::bytes(memory), {.max_bytes = 100'000});
    auto info = slave->start_read_info();
    std::vector<Bytes> tags{"1", "2", "3", "4", "5", "99", ""};
    bool is_there = true;
    while (is_there && boxes < 10'000) {
      ++boxes;
      Bytes bytes;
      Box box;
      switch (random() % 12) {
        case 0: box = {{"_answer", any(tags)}, {"type", any(values)}}; break;
        case 1:
          for (auto fields = 1 + random() % 8; fields > 0; --fields) {
            if (const Bytes key = any(keys); !box.has(key)) box.set(key, any(values));
          }
          break;
        case 2:
          box = arguments(prey, any(tags), any(values));
          box.set("_command", any(words));
          break;
        case 3: box = {{"_ask", any(values).substr(0, 20)}, {"_command", any(words)}}; break;
        case 4:
          box = {{"_command", "credit"}, {"bytes", std::to_string(random() % 70'000)}, {"op", "2"}, {"stream", "in"}};
          break;
        case 5:
          if (one_in(random, 10)) {
            for (auto size = random() % 100; size > 0; --size) bytes += static_cast<char>(random());
            break;
          }
          [[fallthrough]];
        default:  // what may be, so that more comes after it
          if (one_in(random, 4)) {
            box = {{"_ask", std::to_string(random() % 100)}, {"_command", "ping"}};
          } else {
            box = {{"_command", "data"},
                   {"data", Bytes(1 + random() % 3000, 'd')},
                   {"op", one_in(random, 2) ? "2" : "3"},
                   {"stream", "out"}};
          }
      }
      if (!box.empty()) bytes = encode(box);
      if (one_in(random, 50)) bytes.resize(random() % (bytes.size() + 1));
      is_there = evil.send(bytes);
      command.poll([] {});
      fetch.poll([] {});
      other.poll([] {});
    }
    evil.hang_up();
    const auto is_over = [](auto& pending) {
      return !thrown_by<std::logic_error>([&] {
        try {
          pending.wait();
        } catch (const Error&) {
        }
      });
    };
    INFO("REMSH_STRESS_SEED=", seed);
    REQUIRE(is_over(stat));
    REQUIRE(is_over(command));
    REQUIRE(is_over(fetch));
    REQUIRE(is_over(other));
    REQUIRE(is_over(info));
    if (evils % 100 == 0) REQUIRE(prey.is_unharmed());
  }
  MESSAGE(boxes, " boxes of ", evils, " slaves, REMSH_STRESS_SEED=", seed);
  CHECK(prey.is_unharmed());
  CHECK(here.count() <= 1);
}

}  // namespace remsh::test
