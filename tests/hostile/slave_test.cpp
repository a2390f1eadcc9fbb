// What somebody can make a slave do who is not its master: nothing; and what its master can beyond its policy: nothing
// either. Whatever comes, at most the connection ends, and the slave comes again as it was told to.
//
// REMSH_STRESS_SEED repeats the random boxes of a run.
#include "auth/derive.hpp"
#include "hostile/honeypot.hpp"
#include "hostile/wire.hpp"
#include "slave/master_contact.hpp"
#include "support/memory_in_use.hpp"
#include "support/stress.hpp"

#include <remsh/connection/box_codec.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <future>
#include <set>
#include <vector>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

const Secret key_of_slave = key_of('k');
const Secret wrong_key = key_of('w');

/// A slave that runs, at a master that is played. One thread at a time.
class Victim {
 public:
  explicit Victim(std::optional<Secret> own_key, const std::string& kind = "tcp:") : key_(std::move(own_key)) {
    auto listening = listen_tcp("127.0.0.1", 0, 16);
    if (!listening) throw std::runtime_error(listening.failure().message);
    listening_ = std::move(*listening);
    std::filesystem::create_directory(dir / "root");
    std::filesystem::create_directory_symlink("../honeypot", dir / "root/link");
    dir.write("root/file", "anybody may read this");
    SlaveOptions options{.name = "w1",
                         .basedir = dir / "root",
                         .policy = {.root = dir / "root", .no_execute = true},
                         .key = key_,
                         .keyless = !key_,
                         .back_off_min = 1ms,
                         .back_off_max = 2ms,
                         .log = log.hook()};
    const std::string address = kind + "127.0.0.1:" + std::to_string(local_port(listening_.get()));
    slave_ = std::make_unique<SlaveThread>(std::move(options), [this, address](SlaveServer& server) {
      const ServeResult result = server.run(address);
      has_ended_ = true;
      return result;
    });
  }

  /// Waits until it comes, and says nothing.
  [[nodiscard]] Wire next() {
    const auto until = std::chrono::steady_clock::now() + ample;
    while (std::chrono::steady_clock::now() < until) {
      pollfd ready{listening_.get(), POLLIN, 0};
      ::poll(&ready, 1, 100);
      Accepted accepted = accept_one(listening_.get());
      if (!accepted.socket) continue;
      const int socket = accepted.socket.get();
      return Wire(std::make_unique<SocketTransport>(std::move(accepted.socket), "a slave", false), socket);
    }
    throw std::runtime_error("it does not come");
  }

  /// The same, and hears its hello: which is always the same, but for the nonce.
  [[nodiscard]] Wire next(Bytes& hello) {
    Wire wire = next();
    hello = wire.read_box();
    Box said = box_of(hello);
    CHECK(nonces_.insert(Bytes(said.get("nonce").value_or(""))).second);
    said.erase("nonce");
    Box expected{{"_ask", "1"}, {"_command", "hello"}, {"features", ""}, {"name", "w1"}, {"versions", "2"}};
    if (key_) expected.set("kid", auth::kid(*key_));
    CHECK(said == expected);
    return wire;
  }

  /// The same, and goes on to its prove.
  [[nodiscard]] Wire next(Bytes& hello, Bytes& prove) {
    Wire wire = next(hello);
    wire.send(challenge);
    prove = wire.read_box();
    CHECK(box_of(prove).has("mac") == key_.has_value());
    return wire;
  }

  /// One that is registered.
  [[nodiscard]] Wire registered() {
    Bytes hello;
    Bytes prove;
    Wire wire = next(hello, prove);
    wire.send(welcome(hello, prove));
    return wire;
  }

  /// What an honest master says at last.
  [[nodiscard]] Bytes welcome(BytesView hello, BytesView prove) const {
    Box box{{"_answer", "2"}, {"keepalive", "10000"}};
    if (key_) box.set("mac", mac_by(*key_, "master", hello, prove, box));
    return encode(box);
  }

  /// The proof of who has a key, about what was said.
  [[nodiscard]] Bytes mac_by(const Secret& by, const char* role, BytesView hello, BytesView prove, Box last) const {
    const auto body = [](Box box) {
      for (const char* envelope : {"_ask", "_answer", "_command", "mac"}) box.erase(envelope);
      return box.empty() ? Bytes(2, '\0') : encode(box);
    };
    auth::Sha256 transcript;
    transcript.update(Bytes(32, '\0') + body(box_of(hello)) + body(challenge) + body(box_of(prove)) +
                      body(std::move(last)));
    return Bytes(auth::hmac(auth::derive(by, role).bytes(), transcript.digest()).bytes());
  }

  /// It is there, no file was touched that is not its own, and nothing was made beside its root.
  [[nodiscard]] bool is_unharmed() const { return !has_ended_ && honeypot.is_untouched() && dir.count() == 2; }

  const TempDir dir;
  const Honeypot honeypot{dir};
  const Log log;
  const Box challenge{{"_answer", "1"}, {"features", ""}, {"nonce", Bytes(32, 'm')}, {"version", "2"}};

 private:
  const std::optional<Secret> key_;
  UniqueFd listening_;
  std::set<Bytes> nonces_;
  std::atomic<bool> has_ended_ = false;
  std::unique_ptr<SlaveThread> slave_;
};

const std::vector<std::string> operations{"set_cwd", "getenv", "info", "mkdir", "remove",  "rename",
                                          "copy",    "stat",   "send", "fetch", "execute", "echo"};
const std::vector<std::string> command_words{"ping",  "goodbye", "data",   "end",       "credit",  "cancel",
                                             "hello", "prove",   "reload", "challenge", "welcome", "nonsense"};

/// Arguments that would do for any operation, and do harm.
Box harm(const Honeypot& honeypot, const std::string& command) {
  return {{"_command", command},
          {"args", Bytes("touch\0", 6) + honeypot.path("new") + Bytes(1, '\0')},
          {"bytes", "1"},
          {"data", "x"},
          {"from", honeypot.path("key")},
          {"mode", "777"},
          {"op", "o"},
          {"overwrite", "1"},
          {"path", honeypot.path("list")},
          {"stream", "in"},
          {"to", honeypot.path("list")}};
}

/// A box of every kind that the protocol has, and of others; and what is no box.
std::vector<std::pair<std::string, Bytes>> all_that_can_be_said_to(const Victim& victim) {
  std::vector<std::pair<std::string, Bytes>> said{
      {"hello", Talk("w1", key_of_slave).hello()},
      {"challenge of another call", encode(Box{{"_answer", "2"}, {"nonce", Bytes(32, 'm')}, {"version", "2"}})},
      {"an answer", encode(Box{{"_answer", "1"}, {"x", "y"}})},
      {"welcome", encode(Box{{"_answer", "2"}, {"keepalive", "1000"}})},
      {"enrolled", encode(Box{{"_answer", "2"}, {"mac", Bytes(32, 'm')}})},
      {"refused", encode(Box{{"_answer", "2"}, {"reason", "go"}, {"refused", "full"}, {"retry", "1"}})},
      {"refused without a reason", encode(Box{{"_answer", "2"}, {"refused", "full"}})},
      {"failure of hello", failure_of("1")},
      {"failure of prove", failure_of("2")},
      {"failure of nothing", failure_of("3")},
      {"another failure", encode(Box{{"_error", "1"}, {"_error_code", "FAILED"}, {"_error_description", "go"}})},
      {"half a failure", encode(Box{{"_error", "1"}})},
      {"an empty box", Bytes(2, '\0')},
      {"a key too long", Bytes("\1\0", 2)},
      {"HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n"},
      {"TLS", Bytes("\x15\x03\x03\0\x02\x02\x28", 7)},
      {"a box not in order", Bytes("\0\7_answer\0\1"
                                   "1\0\7version\0\1"
                                   "2\0\5nonce\0\x20",
                                   33) +
                                 Bytes(32, 'm') +
                                 Bytes("\0\x8"
                                       "features\0\0\0\0",
                                       14)},
      {"a value too long", Bytes("\0\7_answer\0\1"
                                 "1\0\1x\xff\xff",
                                 17) +
                               Bytes(70'000, 'n')},
      {"a box too long", [] {
         Bytes box;
         for (int i = 0; i < 40; ++i) BoxWriter(box).field("key-" + std::to_string(10 + i), Bytes(100, 'x'));
         return box + Bytes(2, '\0');
       }()}};
  for (const auto* list : {&operations, &command_words}) {
    for (const std::string& command : *list) {
      Box box = harm(victim.honeypot, command);
      said.emplace_back("box " + command, encode(box));
      box.set("_ask", "1");
      said.emplace_back("call " + command, encode(box));
    }
  }
  return said;
}

}  // namespace

TEST_CASE("G13: a slave obeys nobody who has not proven to be its master") {
  for (const bool is_keyed : {true, false}) {
    CAPTURE(is_keyed);
    Victim victim(is_keyed ? std::optional(key_of_slave) : std::nullopt);
    std::vector<std::string> answered;
    const Bytes ping = encode(Box{{"_ask", "p"}, {"_command", "ping"}});
    const auto say = [&](Wire wire, const std::string& where, const Bytes& bytes) {
      wire.send(bytes + ping);
      wire.end_input();
      if (!wire.read_to_end().empty()) answered.push_back(where);
    };
    const auto all = all_that_can_be_said_to(victim);
    for (const auto& [name, bytes] : all) {
      Bytes hello;
      Bytes prove;
      say(victim.next(hello), name + " for a challenge", bytes);
      say(victim.next(hello, prove), name + " for a welcome", bytes);
      if (name == "welcome" && !is_keyed) continue;
      say(victim.next(hello), name + " behind a challenge", encode(victim.challenge) + bytes);
    }
    const std::vector<std::string> expected =
        is_keyed ? std::vector<std::string>{} : std::vector<std::string>{"welcome for a welcome"};
    CHECK(answered == expected);
    CHECK(victim.is_unharmed());
    Wire good = victim.registered();
    good.send(ping);
    CHECK(good.read_box() == encode(Box{{"_answer", "p"}}));
  }
}

TEST_CASE("G13: a slave takes no challenge and no welcome that its master would not send") {
  Victim victim(key_of_slave);
  const auto harmful = [&] {
    Box call = harm(victim.honeypot, "send");
    call.set("_ask", "1");
    return encode(call) + encode(Box{{"_ask", "p"}, {"_command", "ping"}});
  }();
  using Change = std::function<void(Box&, const Bytes& hello, const Bytes& prove)>;
  struct Way {
    std::string words;
    Change change;
  };
  const auto set = [](const char* name, const Bytes& value) -> Change {
    return [=](Box& box, auto&, auto&) { box.set(name, value); };
  };
  const auto erase = [](const char* name) -> Change { return [=](Box& box, auto&, auto&) { box.erase(name); }; };
  const std::vector<Way> challenges{
      {"its own nonce",
       [](Box& box, const Bytes& hello, auto&) { box.set("nonce", Bytes(*box_of(hello).get("nonce"))); }},
      {"a short nonce", set("nonce", Bytes(31, 'm'))},
      {"a long nonce", set("nonce", Bytes(33, 'm'))},
      {"no nonce", erase("nonce")},
      {"an older version", set("version", "1")},
      {"a newer version", set("version", "3")},
      {"two versions", set("version", "2 3")},
      {"no version", erase("version")},
      {"features that were not offered", set("features", "bulk")},
      {"resuming", set("features", "resume")},
      {"features that are none", set("features", "\n")},
      {"no features", erase("features")},
      {"another call", set("_answer", "2")},
      {"also a call", set("_command", "execute")},
      {"also an error", set("_error", "1")}};
  for (const Way& way : challenges) {
    CAPTURE(way.words);
    Bytes hello;
    Wire wire = victim.next(hello);
    Box box = victim.challenge;
    way.change(box, hello, {});
    wire.send(box);
    CHECK(wire.read_to_end().empty());
  }

  Bytes old_hello;
  Bytes old_prove;
  Bytes old_welcome;
  {
    Wire honest = victim.next(old_hello, old_prove);
    honest.send(old_welcome = victim.welcome(old_hello, old_prove));
    honest.send(Box{{"_ask", "p"}, {"_command", "ping"}});
    REQUIRE(honest.read_box() == encode(Box{{"_answer", "p"}}));  // so these are what a master says
  }
  const auto signed_by = [&](const Secret& by, const char* role) -> Change {
    return [=, &victim](Box& box, const Bytes& hello, const Bytes& prove) {
      box.set("mac", victim.mac_by(by, role, hello, prove, box));
    };
  };
  const auto then = [](const Change& first, const Change& second) -> Change {
    return [=](Box& box, const Bytes& hello, const Bytes& prove) {
      first(box, hello, prove);
      second(box, hello, prove);
    };
  };
  const Change by_master = signed_by(key_of_slave, "master");
  const Change refused = [](Box& box, auto&, auto&) {
    box.erase("keepalive");
    box.set("reason", "go away");
    box.set("refused", "rejected");
    box.set("retry", "4000000000");
  };
  const std::vector<Way> welcomes{
      {"no proof", erase("mac")},
      {"a proof of nothing", set("mac", Bytes(32, '\0'))},
      {"half a proof", set("mac", Bytes(16, 'm'))},
      {"its own proof", [](Box& box, auto&, const Bytes& prove) { box.set("mac", Bytes(*box_of(prove).get("mac"))); }},
      {"an old one", [&](Box& box, auto&, auto&) { box = box_of(old_welcome); }},
      {"by another key", signed_by(wrong_key, "master")},
      {"in the slave's role", signed_by(key_of_slave, "slave")},
      {"about something else", then(by_master, set("keepalive", "3600000"))},
      {"with something else", then(by_master, set("zeal", "1"))},
      {"refused by nobody", refused},
      {"refused by another key", then(refused, signed_by(wrong_key, "master"))},
      {"no pace", then(erase("keepalive"), by_master)},
      {"a pace of nothing", then(set("keepalive", "0"), by_master)},
      {"a pace that is none", then(set("keepalive", "-1"), by_master)},
      {"a pace of years", then(set("keepalive", "99999999999"), by_master)},
      {"to resume", then(set("session", Bytes(16, 's')), by_master)},
      {"enrolled", then(erase("keepalive"), by_master)}};
  for (const Way& way : welcomes) {
    CAPTURE(way.words);
    Bytes hello;
    Bytes prove;
    Wire wire = victim.next(hello, prove);
    Box box = box_of(victim.welcome(hello, prove));
    way.change(box, hello, prove);
    wire.send(encode(box) + harmful);
    CHECK(wire.read_to_end().empty());
  }
  CHECK(victim.is_unharmed());
}

TEST_CASE("G13: a slave that is refused comes again, and never with less") {
  {
    Victim victim(key_of_slave);
    for (int i = 0; i < 20; ++i) {
      Bytes hello;
      Bytes prove;
      Wire wire = i % 2 == 0 ? victim.next(hello) : victim.next(hello, prove);  // which look at its hello
      wire.send(failure_of(i % 2 == 0 ? "1" : "2"));
      CHECK(wire.read_to_end().empty());
    }
    CHECK(victim.is_unharmed());
  }
  Victim victim(key_of_slave, "tls:");
  const std::vector<Bytes> answers{failure_of("1"),
                                   encode(victim.challenge),
                                   "",
                                   Bytes("\x15\x03\x03\0\x02\x02\x28", 7),
                                   "HTTP/1.1 400 Bad Request\r\n\r\n",
                                   Bytes("\x16\x03\x03\x3f\xff\2\1\xff\xff", 9) + Bytes(16'374, 's'),
                                   Bytes(100'000, '\0')};
  for (int i = 0; i < 2; ++i) {
    for (const Bytes& answer : answers) {
      Wire wire = victim.next();
      wire.send(answer);
      wire.end_input();
      const Bytes said = wire.read_to_end();
      REQUIRE(said.size() > 100);
      CHECK(said.starts_with(Bytes("\x16\x03\1", 3)));
      CHECK(said.find("hello") == Bytes::npos);
      CHECK(said.find("nonce") == Bytes::npos);
    }
  }
  CHECK(victim.is_unharmed());
}

TEST_CASE("G13, G14: a slave waits for a master for as long as it may take, however the bytes come") {
  for (const char* const way : {"silent", "slow", "endless"}) {
    CAPTURE(way);
    const bool is_endless = way == std::string("endless");
    const std::chrono::milliseconds time = is_endless ? std::chrono::milliseconds(ample) : 3000ms;
    auto [ours, theirs] = memory_pair(1000);
    auto done = std::async(std::launch::async, [&transport = *theirs, time] {
      auto step = shake_hands(transport, {.registration = {.name = "w1"}, .nonce = {}, .key = key_of_slave},
                              Deadline(time), {});
      transport.shutdown();  // otherwise a send could wait for ever, as nobody reads any more
      return step;
    });
    Wire wire(std::move(ours));
    REQUIRE_FALSE(wire.read_box().empty());
    const Bytes begin(
        "\0\7_answer\0\1"
        "1\0\1x\3\0",
        17);
    std::size_t sent = 0;
    while (done.wait_for(is_endless ? 0ms : 5ms) != std::future_status::ready) {
      if (way == std::string("silent")) continue;
      if (is_endless ? sent < 10'000'000 : sent < 700) {
        if (wire.send(sent < begin.size() ? BytesView(begin).substr(sent, 1) : "x")) ++sent;
      }
    }
    const auto step = done.get();
    if (is_endless) {
      REQUIRE(step.ok());
      CHECK(step->action == auth::SlaveHandshake::Step::Action::failed);
      CHECK(sent < 5000);
    } else {
      REQUIRE_FALSE(step.ok());
      CHECK(step.failure().code == Errc::timeout);
      CHECK(sent < 700);  // it has not waited for the last of them
    }
  }
}

namespace {

/// A registered slave, and somebody who calls it. Comes anew where the slave ends the connection.
class Caller {
 public:
  explicit Caller(Victim& victim) : victim_(victim), wire_(victim.registered()) {}

  /// Says it, and waits until the slave has seen all of it: false where it then ended the connection. What it said is
  /// in `heard`.
  bool say(BytesView bytes) {
    heard.clear();
    wire_.send(bytes);
    wire_.send(Box{{"_ask", "still there"}, {"_command", "ping"}});
    const Bytes pong = encode(Box{{"_answer", "still there"}});
    for (Bytes box = wire_.read_box(); !box.empty(); box = wire_.read_box()) {
      if (box == pong) return true;
      heard += box;
    }
    wire_ = victim_.registered();
    return false;
  }

  /// The same for a call, whose answer is waited for.
  bool call(Box box) {
    const Bytes tag = "c" + std::to_string(++calls_);
    box.set("_ask", tag);
    if (box.has("op") && box.get("op")->empty()) box.set("op", tag);
    heard.clear();
    wire_.send(box);
    for (Bytes came = wire_.read_box(); !came.empty(); came = wire_.read_box()) {
      heard += came;
      const Box answer = box_of(came);
      if (answer.get("_answer") == tag || answer.get("_error") == tag) return true;
      if (answer.get("_command") == "ping") wire_.send(Box{{"_answer", Bytes(*answer.get("_ask"))}});
    }
    wire_ = victim_.registered();
    return false;
  }

  Wire& wire() { return wire_; }

  Bytes heard;

 private:
  Victim& victim_;
  Wire wire_;
  int calls_ = 0;
};

}  // namespace

TEST_CASE("G14: no argument of any operation ends a slave, or leads out of its policy") {
  Victim victim(std::nullopt);
  Caller caller(victim);
  const std::vector<Bytes> values{"",
                                  ".",
                                  "..",
                                  "../honeypot/key",
                                  "link/key",
                                  "link",
                                  "file",
                                  "file/",
                                  "file/../../honeypot/key",
                                  victim.honeypot.path("key"),
                                  victim.dir / "root/../honeypot/key",
                                  victim.dir / "root/link/key",
                                  "/",
                                  "/proc/self/root/" + victim.honeypot.path("key"),
                                  "/proc/self/cwd/../honeypot/key",
                                  Bytes("a\0b", 3),
                                  "1",
                                  "-1",
                                  "777",
                                  "99999999999999999999",
                                  "stream",
                                  Bytes(5000, '/'),
                                  Bytes(65535, 'v'),
                                  Bytes(65535, '\0'),
                                  Bytes("A=b\0", 4),
                                  "\xff\xfe\x1b[2J"};
  const std::vector<const char*> keys{"path", "from", "to",  "mode",    "args",       "env",       "unset",   "cwd",
                                      "in",   "out",  "err", "timeout", "kill_after", "overwrite", "nofollow"};
  int calls = 0;
  int ends = 0;
  const auto look = [&](const std::string& operation, const Box& box) {
    ++calls;
    if (!caller.call(box)) ++ends;
    INFO(operation);
    REQUIRE(caller.heard.find(Honeypot::content) == Bytes::npos);
    REQUIRE(victim.is_unharmed());
    if (!victim.dir.has("root/link"))
      std::filesystem::create_directory_symlink("../honeypot", victim.dir / "root/link");
    if (!victim.dir.has("root/file")) victim.dir.write("root/file", "anybody may read this");
  };
  for (const std::string& operation : operations) {
    const auto with = [&](const Bytes& value, const Bytes& other) {
      Box box{{"_command", operation}, {"op", ""}};
      for (const char* name : keys)
        box.set(name, name == std::string("to") || name == std::string("mode") ? other : value);
      return box;
    };
    look(operation, {{"_command", operation}});
    look(operation, {{"_command", operation}, {"op", ""}});
    for (const Bytes& value : values) {
      Box all = with(value, value);
      if (operation == "send") all.set("_command", "stat");  // it waits for its data: below
      look(operation, all);
      for (const char* name : keys) {
        if (operation == "send") continue;
        Box box{{"_command", operation}, {"op", ""}};
        if (name != std::string("path") && operation != "rename" && operation != "copy") box.set("path", "file");
        if (operation == "rename" || operation == "copy") {
          box.set("from", name == std::string("to") ? "file" : value);
          box.set("to", name == std::string("to") ? value : "other");
          box.set("overwrite", "1");
        }
        if (operation == "execute" && name != std::string("args")) box.set("args", Bytes("true\0", 5));
        box.set(name, value);
        look(operation, box);
      }
    }
  }
  for (const Bytes& value : values) {  // files that are sent, to where they must not be
    const Bytes tag = "s" + std::to_string(++calls);
    caller.say(
        encode(Box{
            {"_ask", tag}, {"_command", "send"}, {"mode", "644"}, {"op", tag}, {"overwrite", "1"}, {"path", value}}) +
        encode(Box{{"_command", "data"}, {"data", "evil"}, {"op", tag}, {"stream", "in"}}) +
        encode(Box{{"_command", "end"}, {"op", tag}, {"stream", "in"}}));
    CHECK(caller.call({{"_command", "stat"}, {"path", "file"}}));
    REQUIRE(victim.is_unharmed());
  }
  MESSAGE(calls, " calls, ", ends, " connections ended");
  CHECK(ends == 0);
  CHECK(caller.call({{"_command", "getenv"}}));
}

TEST_CASE("G14: a breach ends a slave's connection and nothing else") {
  Victim victim(std::nullopt);
  // Each behind a file that is being sent, under the tag and the op "o".
  const Bytes open = encode(Box{{"_ask", "o"}, {"_command", "send"}, {"mode", "644"}, {"op", "o"}, {"path", "new"}});
  const auto stream = [](const char* command, const Bytes& op, const Bytes& name, const Bytes& bytes) {
    Box box{{"_command", command}, {"op", op}, {"stream", name}};
    box.set(command == std::string("credit") ? "bytes" : "data", bytes);
    return encode(box);
  };
  const auto repeated = [](const Bytes& bytes, int count) {
    Bytes all;
    while (count-- > 0) all += bytes;
    return all;
  };
  const Bytes fetch = encode(Box{{"_ask", "f"}, {"_command", "fetch"}, {"op", "f"}, {"path", "file"}});
  const Bytes million = std::to_string(1'000'000);
  struct Way {
    std::string words;
    Bytes bytes;
    bool is_breach = true;
  };
  const std::vector<Way> ways{
      {"a tag twice", open + encode(Box{{"_ask", "o"}, {"_command", "getenv"}})},
      {"an op twice",
       open + encode(Box{{"_ask", "p"}, {"_command", "send"}, {"mode", "644"}, {"op", "o"}, {"path", "more"}})},
      {"an empty tag", encode(Box{{"_ask", ""}, {"_command", "getenv"}})},
      {"a long tag", encode(Box{{"_ask", Bytes(17, 't')}, {"_command", "getenv"}})},
      {"an empty op", encode(Box{{"_ask", "1"}, {"_command", "stat"}, {"op", ""}})},
      {"a long op", encode(Box{{"_ask", "1"}, {"_command", "stat"}, {"op", Bytes(17, 'o')}})},
      {"an answer to nothing", encode(Box{{"_answer", "1"}})},
      {"an error to nothing", encode(Box{{"_error", "1"}, {"_error_code", "E"}, {"_error_description", ""}})},
      {"no command", encode(Box{{"path", "file"}})},
      {"data without bytes", open + stream("data", "o", "in", "")},
      {"data of output", open + stream("data", "o", "out", "x"), false},  // as if it were of a call of the slave
      {"data of no stream", open + stream("data", "o", "evil", "x")},
      {"data behind the end", open + stream("end", "o", "in", "") + stream("data", "o", "in", "x")},
      {"two ends", open + stream("end", "o", "in", "") + stream("end", "o", "in", "")},
      {"an end of output", open + stream("end", "o", "out", "")},
      {"compressed data that was not agreed on",
       open + encode(Box{{"_command", "data"}, {"data", "x"}, {"op", "o"}, {"stream", "in"}, {"zstd", "1"}})},
      {"a flood of credit", open + repeated(stream("credit", "o", "out", million), 3)},
      {"all credit at once", open + stream("credit", "o", "out", "18446744073709551615")},
      {"credit that is none", open + stream("credit", "o", "out", "-1")},
      {"an empty box", Bytes(2, '\0')},
      {"a long key", Bytes("\xff\xff", 2)},
      {"a key twice", Bytes("\0\1a\0\0\0\1a\0\0\0\0", 12)},
      {"too many fields",
       [] {
         Bytes box;
         for (int i = 0; i < 1100; ++i) BoxWriter(box).field(std::to_string(10'000 + i), "");
         return box + Bytes(2, '\0');
       }()},
      {"a long box",
       [] {
         Bytes box;
         for (char one = 'a'; one < 'r'; ++one) BoxWriter(box).field(Bytes(1, one), Bytes(65535, 'x'));
         return box + Bytes(2, '\0');
       }()},
      {"long values with a gap",
       encode(Box{{"_ask", "1"}, {"_command", "stat"}, {"path", Bytes(65535, 'x')}, {"path~0002", "x"}}), false},
      {"streams of nothing",
       repeated(stream("data", "gone", "in", "x") + stream("credit", "gone", "out", "1") +
                    stream("end", "gone", "in", "") + encode(Box{{"_command", "cancel"}, {"op", "gone"}}),
                1000),
       false},
      {"words that there are not", encode(Box{{"_command", "evil"}}) + encode(Box{{"_command", "execute"}}), false},
      {"a word that there is not, as a call", encode(Box{{"_ask", "1"}, {"_command", "evil"}}), false},
      {"fetches that are left", repeated(fetch + encode(Box{{"_command", "cancel"}, {"op", "f"}}), 1), false},
      {"a file that is left", open + encode(Box{{"_command", "cancel"}, {"op", "o"}}), false}};
  for (const Way& way : ways) {
    CAPTURE(way.words);
    Caller caller(victim);
    CHECK(caller.say(way.bytes) != way.is_breach);
    CHECK(victim.is_unharmed());
    CHECK(caller.call({{"_command", "stat"}, {"path", "file"}}));
  }
  CHECK(eventually([&] {  // what was left half is gone
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(victim.dir / "root")) {
      count += entry.path().filename() != "file" && entry.path().filename() != "link" ? 1U : 0U;
    }
    return count == 0;
  }));
}

TEST_CASE("G14: more calls than a slave does at once are answered, and cost what they may") {
  Victim victim(std::nullopt);
  Caller caller(victim);
  constexpr int count = 3000;
  Bytes calls;
  for (int i = 0; i < count; ++i) {
    const Bytes tag = std::to_string(i);
    calls += encode(Box{{"_ask", tag}, {"_command", "send"}, {"mode", "644"}, {"op", tag}, {"path", "many-" + tag}});
  }
  std::size_t busy = 0;
  REQUIRE(caller.say(calls));
  CHECK(eventually([&] {  // the answers may come behind that of the ping
    for (std::size_t at = 0; (at = caller.heard.find("BUSY", at)) != Bytes::npos; ++at) ++busy;
    return busy >= count - 1024 || !caller.say({});
  }));
  CHECK(busy == count - 1024);
  caller.wire().hang_up();
  Caller again(victim);
  CHECK(again.call({{"_command", "stat"}, {"path", "file"}}));
  CHECK(eventually([&] { return std::distance(std::filesystem::directory_iterator(victim.dir / "root"), {}) == 2; }));
  CHECK(victim.is_unharmed());
}

#ifdef REMSH_CAN_COUNT
TEST_CASE("G14: a master that does not read what it asks for is left, before its slave holds too much") {
  Victim victim(std::nullopt);
  std::filesystem::create_directory(victim.dir / "root/info");
  victim.dir.write("root/info/much", Bytes(60'000, 'i'));
  Wire wire = victim.registered();
  const std::size_t before = bytes_in_use();
  std::size_t most = 0;
  bool is_there = true;
  int calls = 0;
  while (is_there && calls < 100'000) {
    is_there = wire.send(Box{{"_ask", std::to_string(++calls)}, {"_command", "info"}});
    most = std::max(most, bytes_taken_since(before));
    if (calls % 100 == 0) ::poll(nullptr, 0, 10);  // so that the answers pile up, not the calls
  }
  MESSAGE(calls, " calls, bytes that the slave held: ", most);
  CHECK_FALSE(is_there);
  CHECK(most < 256 * 1024 * 1024);  // 64 MiB, and the answers of the 1,024 calls that it had taken
  wire.hang_up();
  CHECK(Caller(victim).call({{"_command", "stat"}, {"path", "file"}}));
  CHECK(eventually([&] { return bytes_in_use() < before + 4 * 1024 * 1024; }));
  CHECK(victim.is_unharmed());
}
#endif

TEST_CASE("G14: boxes at random end a slave's connection at most") {
  const auto seed =
      static_cast<unsigned>(std::stoul(setting("REMSH_STRESS_SEED", std::to_string(std::random_device{}()))));
  INFO("REMSH_STRESS_SEED=", seed);
  Random random(seed);
  Victim victim(std::nullopt);
  const std::vector<Bytes> names{"_answer", "_ask",      "_command", "_error", "_error_code", "args", "bytes", "cwd",
                                 "data",    "env",       "err",      "from",   "in",          "mode", "op",    "out",
                                 "path",    "path~0001", "stream",   "to",     "total",       "\x01"};
  const std::vector<Bytes> values{"",
                                  "0",
                                  "1",
                                  "2",
                                  "644",
                                  "-1",
                                  "18446744073709551616",
                                  "file",
                                  "link",
                                  "new",
                                  "x\x01y",
                                  "..",
                                  "in",
                                  "out",
                                  "err",
                                  "stream",
                                  Bytes(1, '\0'),
                                  Bytes("true\0", 5),
                                  Bytes(65535, 'v'),
                                  victim.honeypot.path("key")};
  const std::vector<Bytes> ops{"1", "2", "3", "4", ""};
  const auto any = [&random](const auto& of) { return Bytes(of[random() % of.size()]); };
  int boxes = 0;
  int connections = 0;
  while (boxes < 10'000) {
    ++connections;
    Wire wire = victim.registered();
    for (bool is_there = true; is_there && boxes < 10'000; ++boxes) {
      Box box;
      Bytes bytes;
      switch (random() % 10) {
        case 0:
          for (auto fields = 1 + random() % 8; fields > 0; --fields) {
            if (const Bytes name = any(names); !box.has(name)) box.set(name, any(values));
          }
          break;
        case 1: box = {{"_command", any(command_words)}, {"op", any(ops)}, {"stream", any(values)}}; break;
        case 2:
          if (one_in(random, 10)) {
            for (auto size = 1 + random() % 100; size > 0; --size) bytes += static_cast<char>(random());
            break;
          }
          [[fallthrough]];
        case 3: box = {{"_command", "credit"}, {"bytes", any(values)}, {"op", any(ops)}, {"stream", "out"}}; break;
        case 4:
        case 5:
          box = {{"_command", "data"}, {"data", Bytes(1 + random() % 3000, 'd')}, {"op", any(ops)}, {"stream", "in"}};
          break;
        default: {
          const Bytes tag = std::to_string(boxes);
          box = {{"_ask", tag}, {"_command", any(operations)}, {"from", any(values)}, {"mode", "644"},
                 {"op", tag},   {"path", any(values)},         {"to", any(values)}};
          if (one_in(random, 3)) box.set(any(names), any(values));
        }
      }
      if (!box.empty()) bytes = encode(box);
      if (one_in(random, 100)) {  // cut in the middle, and that was all
        bytes.resize(random() % (bytes.size() + 1));
        wire.send(bytes);
        break;
      }
      is_there = wire.send(bytes);
      if (one_in(random, 20)) {  // what it says is taken now and then
        wire.send(Box{{"_ask", "still there"}, {"_command", "ping"}});
        while (is_there) {
          const Bytes heard = wire.read_box();
          is_there = !heard.empty();
          REQUIRE(heard.find(Honeypot::content) == Bytes::npos);
          if (heard.find("still there") != Bytes::npos) break;
        }
      }
    }
    REQUIRE(victim.is_unharmed());
  }
  MESSAGE(boxes, " boxes on ", connections, " connections, REMSH_STRESS_SEED=", seed);
  CHECK(victim.is_unharmed());
  CHECK(Caller(victim).call({{"_command", "getenv"}}));
}

}  // namespace remsh::test
