// What a stranger can make a master do before it is registered: nothing, and not for long.
#include "hostile/prey.hpp"
#include "support/memory_in_use.hpp"

#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <list>
#include <vector>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

/// A box of every kind that the protocol has, and of others; and what is no box.
std::vector<std::pair<std::string, Bytes>> all_that_can_be_said() {
  std::vector<std::pair<std::string, Bytes>> said{
      {"hello", encode(EvilSlave::hello("evil"))},
      {"prove", encode(EvilSlave::prove())},
      {"answer", encode(Box{{"_answer", "1"}, {"nonce", Bytes(32, 'm')}, {"version", "2"}})},
      {"welcome", encode(Box{{"_answer", "2"}, {"keepalive", "1000"}})},
      {"failure",
       encode(Box{{"_error", "1"}, {"_error_code", "AUTH"}, {"_error_description", "authentication failed"}})},
      {"no command", encode(Box{{"name", "evil"}})},
      {"a zero byte", Bytes(1, '\0')},
      {"an empty box", Bytes(2, '\0')},
      {"the longest key", Bytes("\0\xff", 2)},
      {"a key too long", Bytes("\1\0", 2)},
      {"HTTP", "GET / HTTP/1.1\r\n\r\n"},
      {"SSH", "SSH-2.0-evil\r\n"},
      {"TLS", "\x16\x03\x01\x02"},
      {"a newline", "\n"},
      {"much", Bytes(100'000, 'x')},
      {"a value too long", Bytes("\0\4name\xff\xff", 8) + Bytes(5000, 'n')},
      {"many fields", [] {
         Bytes box;
         for (int i = 0; i < 40; ++i) BoxWriter(box).field("key-" + std::to_string(10 + i), "");
         return box + Bytes(2, '\0');
       }()}};
  for (const char* command :
       {"ping", "goodbye", "data", "end", "credit", "cancel", "set_cwd", "getenv", "info", "mkdir", "remove", "rename",
        "copy", "stat", "execute", "send", "fetch", "challenge", "welcome"}) {
    const Box box{{"_command", command}, {"args", "true"}, {"op", "1"}, {"path", "/"}, {"stream", "out"}};
    said.emplace_back(std::string("box ") + command, encode(box));
    Box call = box;
    call.set("_ask", "1");
    said.emplace_back(std::string("call ") + command, encode(call));
  }
  return said;
}

/// An honest slave that calls in as long as it takes.
struct HonestSlave {
  HonestSlave(Prey& prey, const std::string& name)
      : thread({.name = name, .basedir = prey.dir / name, .keyless = true, .back_off_min = 1ms, .back_off_max = 50ms},
               [&prey](SlaveServer& server) { return server.run(prey.listener.address()); }),
        slave(prey.find(name)) {}
  SlaveThread thread;
  std::shared_ptr<Slave> slave;
};

}  // namespace

TEST_CASE("in each state of the handshake one box is legal, and all else closes without an answer") {
  Prey prey;
  std::vector<std::string> answered;
  const std::vector<std::pair<std::string, Bytes>> said = all_that_can_be_said();
  for (const auto& saying : said) {  // no structured binding: clang 14 cannot capture one
    const std::string& words = saying.first;
    const Bytes& bytes = saying.second;
    CAPTURE(words);
    EvilSlave connected(prey.port());
    connected.send(bytes);
    if (words != "hello") connected.end_input();  // where more was to come
    if (words == "hello" ? connected.read_box().has_value() : connected.read_to_end() > 0)
      answered.push_back("connected: " + words);
    EvilSlave challenged(prey.port());
    challenged.send(EvilSlave::hello("challenged"));
    REQUIRE(challenged.read_box());
    challenged.send(bytes);
    if (words != "prove") challenged.end_input();
    if (words == "prove" ? challenged.read_box().has_value() : challenged.read_to_end() > 0)
      answered.push_back("challenged: " + words);
    EvilSlave both(prey.port());
    both.send(encode(EvilSlave::hello("both")) + bytes);  // bytes behind a box that must be answered first
    both.end_input();
    if (both.read_to_end() > 0) answered.push_back("hello with " + words);
  }
  CHECK(answered == std::vector<std::string>{"connected: hello", "challenged: prove"});
  CHECK(prey.slaves.find("both") == nullptr);
  CHECK(prey.is_unharmed());
}

TEST_CASE("a byte between prove and welcome closes") {
  const Event go;
  const Event considered;
  Prey prey({.slave_class = [&](SlaveInit init) -> std::shared_ptr<Slave> {
    if (init.info().name == "considered") {
      considered.happened();
      if (!go.wait()) throw std::runtime_error("nobody let it go");
    }
    return std::make_shared<Slave>(std::move(init));
  }});
  EvilSlave evil(prey.port());
  evil.send(EvilSlave::hello("considered"));
  REQUIRE(evil.read_box());
  evil.send(EvilSlave::prove());
  REQUIRE(considered.wait());
  evil.send("x");
  EvilSlave later(prey.port());  // whose bytes the same thread reads, behind that one
  later.send(EvilSlave::hello("later"));
  REQUIRE(later.read_box());
  go.happened();
  CHECK(evil.read_to_end() == 0);
  CHECK(prey.slaves.find("considered") == nullptr);
  CHECK(prey.is_unharmed());
}

TEST_CASE("M4: what is no name is nobody's, and nothing of it is made or shown") {
  Prey prey;
  for (const Bytes& name : {Bytes(), Bytes("."), Bytes(".."), Bytes("../honeypot"), Bytes("/etc/passwd"), Bytes("a/b"),
                            Bytes("%n%s"), Bytes("a\nb"), Bytes("\x1b[2J"), Bytes("a\0b", 3), Bytes("-rf"),
                            Bytes("a b"), Bytes(65, 'a'), Bytes("\xc3\xa9"), Bytes("honest\0", 7), Bytes("honest ")}) {
    CAPTURE(name);
    EvilSlave evil(prey.port());
    CHECK_FALSE(evil.register_as(name));
  }
  CHECK(prey.slaves.size() == 1);
  const std::string log = prey.log_text();
  CHECK(std::none_of(log.begin(), log.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\n'; }));
  CHECK(prey.is_unharmed());
}

TEST_CASE("M8, G10: strangers who stop in the middle cost little memory, each and together") {
  constexpr std::size_t most = 256;
  const std::size_t count = std::min(most, make_room(2 * most) / 2);
  Prey prey({.max_handshakes = most});
  std::list<EvilSlave> evils;
  const auto come = [&] {  // as much of a hello as may be, or of a prove, and not the last byte of it
    EvilSlave& evil = evils.emplace_back(prey.port());
    if (evils.size() % 2 == 0) {
      evil.send(Bytes("\0\4_ask\0\1", 8) + "1" + Bytes("\0\4name\3\x80", 8) + Bytes(890, 'n'));
      return;
    }
    evil.send(EvilSlave::hello("evil"));
    REQUIRE(evil.read_box());
    Bytes box = Bytes("\0\4_ask\0\1", 8) + "2" + Bytes("\0\x8_command\0\5prove\0\7basedir\3\xff", 28);
    box += Bytes(1023, 'b') + Bytes("\0\5other\6\0", 9) + Bytes(1500, 'o');
    evil.send(box);
  };
  come();
  evils.clear();  // threads, tables and caches are there by now
#ifdef REMSH_CAN_COUNT
  const std::size_t before = bytes_in_use();
#endif
  for (std::size_t i = 0; i < count; ++i) come();
  REQUIRE(prey.is_at_work());
#ifdef REMSH_CAN_COUNT
  const std::size_t each = bytes_taken_since(before) / count;
  MESSAGE("bytes of a stranger, of ", count, ": ", each);
  CHECK(each < 16 * 1024);
#endif
  CHECK(std::none_of(evils.begin(), evils.end(), [](const EvilSlave& evil) { return evil.was_closed(); }));
  evils.clear();
  CHECK(prey.is_unharmed());
}

TEST_CASE("who sends a byte now and then is sent away in the time that all have, and others get in meanwhile") {
  constexpr int count = 50;
  Prey prey({.handshake_timeout = 3s});  // in which the honest slave must register, too
  std::vector<EvilSlave> evils;
  for (int i = 0; i < count; ++i) evils.emplace_back(prey.port());
  const Bytes hello = encode(EvilSlave::hello("slow"));
  std::vector<std::size_t> sent(count, 0);
  std::size_t gone = 0;
  std::vector<bool> is_gone(count, false);
  REQUIRE(eventually([&] {
    for (std::size_t i = 0; i < count; ++i) {
      if (is_gone[i]) continue;
      // The box never comes to its end, however long this takes.
      const bool is_last = sent[i] + 1 >= hello.size();
      is_gone[i] =
          is_last ? evils[i].was_closed() : !evils[i].send(hello.substr(sent[i]++, 1)) || evils[i].was_closed();
      if (is_gone[i]) ++gone;
    }
    return gone == count;
  }));
  CHECK(prey.is_unharmed());
  CHECK(HonestSlave(prey, "second").slave->is_connected());
}

TEST_CASE("a master that has no descriptor left keeps its slaves, and takes new ones when it has") {
  Prey prey;
  EvilSlave played(prey.port());  // the honest one is in this process, and needs descriptors as well
  REQUIRE(played.register_as("played"));
  prey.find("played");
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  std::vector<EvilSlave> evils;
  std::vector<int> taken;
  rlimit few = before;
  few.rlim_cur = static_cast<rlim_t>(open_descriptors()) + 40;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  for (int i = 0; i < 10; ++i) {
    evils.emplace_back(prey.port()).send(EvilSlave::hello("evil"));
    REQUIRE(evils.back().read_box());  // it has its descriptor, and none is under way
  }
  for (int descriptor = 0; descriptor >= 0;) {
    descriptor = ::fcntl(0, F_DUPFD_CLOEXEC, 0);
    if (descriptor >= 0) taken.push_back(descriptor);
  }
  if (!taken.empty()) {  // one for a caller, none for the master
    ::close(taken.back());
    taken.pop_back();
  }
  EvilSlave unlucky(prey.port());
  CHECK(unlucky.read_to_end() == 0);
  CHECK(played.is_heard());
  for (const int descriptor : taken) ::close(descriptor);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(HonestSlave(prey, "second").slave->is_connected());
  CHECK(prey.log_text().find("cannot take connections") != std::string::npos);
  CHECK(played.is_heard());
}

}  // namespace remsh::test
