// Slaves that a launcher starts, and that connect back by a key of their own.
#include "support/has.hpp"
#include "support/played_slave.hpp"
#include "support/program.hpp"
#include "support/script.hpp"
#include "support/slaves.hpp"

#include <remsh/auth/key_ring.hpp>
#include <remsh/auth/slave_key.hpp>

#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <stop_token>
#include <thread>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

/// A master that asks for keys, and launches slaves. One thread at a time.
class LaunchingMaster {
 public:
  explicit LaunchingMaster(const std::string& address = "tls:127.0.0.1:0") {
    TcpListenerOptions options{.slave_collection = slaves, .address = address, .keys = keys};
    options.log = log.hook();
    listener = std::make_unique<TcpSlaveListener>(std::move(options));
    listener->start();
  }

  /// Another launcher takes the place of the one there was; no command: remsh-slave itself.
  SlaveLauncher& launch_by(std::vector<std::string> command = {}, std::chrono::milliseconds kill_after = ample) {
    launcher.reset();
    launcher = std::make_unique<SlaveLauncher>(
        LauncherOptions{.listener = *listener, .command = std::move(command), .kill_after = kill_after});
    return *launcher;
  }

  const TempDir dir;
  const Log log;
  KeyRing keys;
  SlaveCollection slaves;
  std::unique_ptr<SlaveListener> listener;
  std::unique_ptr<SlaveLauncher> launcher;
};

/// The words of a process that some shell or kernel shows of it.
std::string command_line_of(pid_t process) {
  std::string text;
  for (const char* what : {"/cmdline", "/environ"}) {
    std::ifstream file("/proc/" + std::to_string(process) + what, std::ios::binary);
    text.append(std::istreambuf_iterator<char>(file), {});
  }
  return text;
}

/// Waits for a slave that is not this one.
std::shared_ptr<Slave> next_after(SlaveCollection& slaves, const Slave& before) {
  return slaves.get_slave(ample, [&before](const Slave& slave) { return &slave != &before; });
}

}  // namespace

TEST_CASE("a launched slave comes back to the listener by a key of its own, and works") {
  for (const char* address : {"tls:127.0.0.1:0", "tcp:127.0.0.1:0"}) {
    CAPTURE(address);
    LaunchingMaster master(address);
    SlaveLauncher& launcher = master.launch_by();
    const auto slave = launcher.start_slave(master.dir / "a/new/directory", "w1");
    CHECK(slave->name() == "w1");
    CHECK(slave->info().key_id.size() == 8);
    CHECK(slave->set_cwd().ends_with("/a/new/directory"));
    CHECK(slave->execute({"cat"}, {.in = Source::bytes(Bytes(100'000, 'x'))}).out.size() == 100'000);
    CHECK(slave->execute({"cat"}).out.empty());  // whose input is not the slave's
    const auto other = launcher.start_slave(master.dir / "b");
    CHECK(other->name() == "launched-1");
    CHECK(other->info().key_id != slave->info().key_id);
    CHECK(master.slaves.size() == 2);
  }
}

TEST_CASE("over a unix socket, and from a program that is its own slaves, it is the same") {
  const TempDir dir;
  const Log log;
  SlaveCollection slaves;
  UnixListenerOptions options{.slave_collection = slaves, .path = dir / "socket"};
  options.keys = KeyRing();
  options.log = log.hook();
  UnixSlaveListener listener(std::move(options));
  listener.start();
  SlaveLauncher launcher({.listener = listener, .embedded = true});
  const auto slave = launcher.start_slave(dir / "w1", "w1");
  CHECK_FALSE(slave->info().key_id.empty());
  CHECK(slave->call("echo", {{"a", "b"}}) == Box{{"a", "b"}});
#ifdef __linux__
  CHECK(slave->call("memory", {}) == Box{{"is_private", "yes"}});  // it has a key there
  LocalSlaveListener local({.slave_collection = slaves, .embedded = true});
  CHECK(local.start_slave(dir / "keyless")->call("memory", {}) == Box{{"is_private", "no"}});
#endif
}

TEST_CASE("the key of a launched slave is in no argument, environment or log") {
  LaunchingMaster master;
  SlaveLauncher& launcher =
      master.launch_by(script("read -r line; echo \"$line\" > " + (master.dir / "seen") +
                              "; { echo \"$line\"; cat; } | remsh-slave --verbose --trace \"$@\""));
  const auto slave = launcher.start_slave(master.dir / "w1", "w1");
  const std::string line = master.dir.read("seen");
  REQUIRE(line.starts_with("w1 "));
  const std::string key = line.substr(3, 44);
  REQUIRE(Secret::from_base64(key));
  const std::string shown = command_line_of(process_of(*slave));
  CHECK(has(shown, "--key=-"));
  CHECK_FALSE(has(shown, key));
  CHECK_FALSE(has(slave->execute({"env"}).out, key));
  CHECK(master.log.wait_for("w1: its program says: "));
  CHECK_FALSE(has(master.log.text(), key));
}

TEST_CASE("a launched slave that has lost its connection comes again by its key") {
  LaunchingMaster master;
  SlaveLauncher& launcher = master.launch_by();
  const auto first = launcher.start_slave(master.dir / "w1", "w1");
  const std::string kid = first->info().key_id;
  const pid_t process = process_of(*first);
  first->disconnect();
  const auto second = next_after(master.slaves, *first);
  REQUIRE(second);
  CHECK(second->info().key_id == kid);
  CHECK(process_of(*second) == process);
  CHECK(launcher.kill_slave(first));  // which is the same process
  CHECK(is_gone(process));
  CHECK(eventually([&] { return master.slaves.size() == 0; }));
}

TEST_CASE("kill_slave ends the process, what it does, and its key") {
  LaunchingMaster master;
  SlaveLauncher& launcher = master.launch_by();
  const auto slave = launcher.start_slave(master.dir / "w1", "w1");
  const pid_t process = process_of(*slave);
  const Lifeline lifeline;
  std::jthread caller([&] { CHECK_THROWS_AS(slave->execute(lifeline.endless_command()), ConnectionLost); });
  REQUIRE(lifeline.wait_for_begin());
  CHECK(launcher.kill_slave(slave));
  CHECK(is_gone(process));
  CHECK(lifeline.wait_for_end());
  CHECK_FALSE(launcher.kill_slave(slave));
  CHECK_FALSE(launcher.kill_slave(nullptr));
  CHECK(launcher.start_slave(master.dir / "w1", "w1")->info().key_id != slave->info().key_id);
}

TEST_CASE("a slave that does not end by itself is killed, with what it started") {
  LaunchingMaster master;
  const Lifeline lifeline;
  SlaveLauncher& launcher = master.launch_by(script("trap '' TERM; exec 9>" + lifeline.path() +
                                                    "; echo >&9; remsh-slave \"$@\"; while :; do sleep 1000; done"),
                                             10ms);
  const auto slave = launcher.start_slave(master.dir / "w1", "w1");
  REQUIRE(lifeline.wait_for_begin());
  CHECK(launcher.kill_slave(slave));
  CHECK(lifeline.wait_for_end());
}

TEST_CASE("with the launcher go all that it started, and with the process goes the key") {
  LaunchingMaster master;
  master.launch_by();
  const auto first = master.launcher->start_slave(master.dir / "w1", "w1");
  const auto second = master.launcher->start_slave(master.dir / "w2", "w2");
  const pid_t process = process_of(*second);
  ::kill(process_of(*first), SIGKILL);
  CHECK(master.log.wait_for("w1: its process was killed by signal 9"));
  CHECK(eventually([&] { return master.slaves.size() == 1; }));
  CHECK_FALSE(master.launcher->kill_slave(first));
  const auto again = master.launcher->start_slave(master.dir / "w1", "w1");  // the name is free
  CHECK(again->is_connected());
  master.launcher.reset();
  CHECK(is_gone(process));
  CHECK(eventually([&] { return master.slaves.size() == 0; }));
}

TEST_CASE("what cannot be launched is an error that says what and why") {
  LaunchingMaster master;
  const auto failure = [&](const std::vector<std::string>& command) {
    SlaveLauncher& launcher = master.launch_by(command);
    const auto error = thrown_by<Error>([&] { launcher.start_slave(master.dir / "w1", "w1"); });
    REQUIRE(error);
    CHECK(error->slave() == "w1");
    CHECK(error->operation() == "launch in '" + (master.dir / "w1") + "'");
    return *error;
  };
  const Error missing = failure({"no-such-slave-program"});
  CHECK(missing.code() == Errc::local_os_error);
  CHECK(missing.os() == std::errc::no_such_file_or_directory);
  CHECK(has(missing.message(), "no-such-slave-program"));
  const Error ended = failure(script("echo one; echo two >&2; printf 'and\\033[31m three'; exit 3"));
  CHECK(ended.code() == Errc::connection_lost);
  CHECK(has(ended.message(), "its process ended with exit code 3; it said: one; two; and\\x1B[31m three"));
  CHECK(has(failure({"true"}).message(), "exit code 0; is it a remsh-slave?"));
  CHECK(has(failure(script("kill -KILL $$")).message(), "signal 9"));
  CHECK(has(failure(script("exec remsh-slave --frobnicate")).message(), "unknown option '--frobnicate'"));
  master.dir.write("file", "");
  const auto unusable = thrown_by<Error>([&] { master.launch_by().start_slave(master.dir / "file/below", "w1"); });
  REQUIRE(unusable);
  CHECK(unusable->code() == Errc::os_error);
  CHECK(unusable->os() == std::errc::not_a_directory);
  CHECK(has(unusable->message(), "'" + (master.dir / "file/below") + "'"));
  CHECK(has(unusable->message(), "exit code 70"));
  CHECK(has(unusable->message(), "base directory"));
  CHECK(master.slaves.size() == 0);
}

TEST_CASE("the address and the directory of a launched slave reach it through a shell as they are") {
  const TempDir dir;
  const std::string odd = dir / "a 'b' $(cat > stolen) \n;x";
  std::filesystem::create_directory(odd);
  SlaveCollection slaves;
  UnixListenerOptions options{.slave_collection = slaves, .path = odd + "/socket"};
  options.keys = KeyRing();
  UnixSlaveListener listener(std::move(options));
  listener.start();
  SlaveLauncher launcher({.listener = listener, .command = script("exec sh -c \"exec remsh-slave $*\"")});
  CHECK(launcher.start_slave(odd + "/w1", "w1")->set_cwd() == std::filesystem::canonical(odd).string() + "/w1");
  CHECK(::access("stolen", F_OK) != 0);
}

TEST_CASE("a launched program gets a few variables of its master's environment, and those that were asked for") {
  LaunchingMaster master;
  REQUIRE(::setenv("REMSH_TEST_SECRET", "hidden", 1) == 0);
  SlaveLauncher launcher({.listener = *master.listener, .env = {{"A", "b"}}});
  auto env = launcher.start_slave(master.dir / "w1", "w1")->getenv();
  REQUIRE(::unsetenv("REMSH_TEST_SECRET") == 0);
  CHECK(env["A"] == "b");
  CHECK(env.contains("PATH"));
  CHECK_FALSE(env.contains("REMSH_TEST_SECRET"));
}

TEST_CASE("what a launched slave ran that was killed from outside is ended by its master") {
  LaunchingMaster master;
  SlaveLauncher& launcher = master.launch_by();
  const auto slave = launcher.start_slave(master.dir / "w1", "w1");
  const Lifeline lifeline;
  std::vector<Bytes> away{"setsid"};
  for (const Bytes& word : lifeline.endless_command()) away.push_back(word);
  std::jthread caller([&] { CHECK_THROWS_AS(slave->execute(away), ConnectionLost); });
  REQUIRE(lifeline.wait_for_begin());
  ::kill(process_of(*slave), SIGKILL);
  CHECK(lifeline.wait_for_end());
}

TEST_CASE("a launcher may outlive its listener, and ends its slaves all the same") {
  LaunchingMaster master;
  SlaveLauncher& launcher = master.launch_by();
  const auto slave = launcher.start_slave(master.dir / "w1", "w1");
  const auto other = launcher.start_slave(master.dir / "w2", "w2");
  const pid_t process = process_of(*slave);
  const pid_t other_process = process_of(*other);
  master.listener.reset();
  CHECK_THROWS_AS(launcher.start_slave(master.dir / "w3", "w3"), ConnectionLost);
  CHECK(launcher.kill_slave(slave));
  CHECK(is_gone(process));
  master.launcher.reset();
  CHECK(is_gone(other_process));
}

TEST_CASE("who does not come in time is ended, as is who comes under another name") {
  LaunchingMaster master;
  const Lifeline lifeline;
  const std::string begin = "exec 9>" + lifeline.path() + "; echo >&9; echo hello; ";
  const std::vector<std::pair<std::string, std::string>> examples{
      {begin + "exec sleep 100000", "it said: hello"},
      {begin + "sed -u 's/^w1 /w2 /' | exec remsh-slave --key=- --name=w2 --master=" + master.listener->address(),
       "w2"}};
  for (const auto& example : examples) {
    const std::string& text = example.first;  // with names that clang 14 can capture
    const std::string& words = example.second;
    CAPTURE(text);
    SlaveLauncher& launcher = master.launch_by(script(text));
    std::stop_source stop;
    std::jthread stopper([&] {
      // When it is known what is wrong nobody has to wait for a deadline.
      static_cast<void>(lifeline.wait_for_begin());
      static_cast<void>(words == "w2" ? master.log.wait_for("of w2") : master.log.wait_for("says: hello"));
      stop.request_stop();
    });
    const auto stopped = thrown_by<Cancelled>(
        [&] { launcher.start_slave(master.dir / "w1", {.name = "w1", .stop = stop.get_token()}); });
    REQUIRE(stopped);
    if (words != "w2") CHECK(has(stopped->message(), words));
    CHECK(lifeline.wait_for_end());
    CHECK(master.slaves.size() == 0);
  }
  SlaveLauncher& launcher = master.launch_by(script("exec sleep 100000"));
  const auto late = thrown_by<Timeout>([&] { launcher.start_slave("", {.name = "w1", .deadline = 1ms}); });
  REQUIRE(late);
  CHECK(late->operation() == "launch");
  CHECK(has(late->message(), "has not come to " + master.listener->address() + " in time"));
}

TEST_CASE("a name that could not be launched can be tried again") {
  LaunchingMaster master;
  SlaveLauncher& launcher = master.launch_by();
  std::vector<KeyRegistration> taken;
  for (int i = 0; i < 4; ++i) taken.push_back(master.keys.register_slave("w1", make_key()));
  const auto full = thrown_by<Error>([&] { launcher.start_slave(master.dir / "w1", "w1"); });
  REQUIRE(full);
  CHECK(full->code() == Errc::invalid_argument);
  CHECK(full->slave() == "w1");
  taken.pop_back();
  CHECK(launcher.start_slave(master.dir / "w1", "w1")->name() == "w1");
}

TEST_CASE("a slave can be killed while what its program says is being told") {
  const TempDir dir;
  SlaveCollection slaves;
  std::promise<void> telling;
  std::promise<void> killed;
  std::atomic<bool> is_first = true;
  const auto log = [&](const LogRecord& record) {
    if (!has(record.message, "says: again") || !is_first.exchange(false)) return;
    telling.set_value();
    // For as long as it is told, what is told of is not taken away: so this comes to an end by its limit.
    killed.get_future().wait_for(std::chrono::milliseconds(200));
  };
  TcpSlaveListener listener({.slave_collection = slaves, .keys = KeyRing(), .log = log});
  listener.start();
  SlaveLauncher launcher(
      {.listener = listener,
       .command = script("(read go < \"$GO\"; while echo again; do :; done) & exec remsh-slave \"$@\""),
       .env = {{"GO", dir / "go"}},
       .kill_after = std::chrono::milliseconds(0)});
  REQUIRE(::mkfifo((dir / "go").c_str(), 0600) == 0);
  const auto slave = launcher.start_slave(dir / "w1", "w1");
  std::ofstream(dir / "go") << "now\n";
  telling.get_future().wait();
  CHECK(launcher.kill_slave(slave));
  killed.set_value();
  CHECK_FALSE(launcher.kill_slave(slave));
}

TEST_CASE("a name is launched once at a time") {
  LaunchingMaster master;
  SlaveLauncher& launcher = master.launch_by();
  const auto slave = launcher.start_slave(master.dir / "w1", "w1");
  const auto error = thrown_by<Error>([&] { launcher.start_slave(master.dir / "w1", "w1"); });
  REQUIRE(error);
  CHECK(error->code() == Errc::in_use);
  CHECK(slave->execute({"true"}).ok());
  SlaveLauncher other({.listener = *master.listener});
  CHECK(thrown_by<Error>([&] { other.start_slave(master.dir / "w1", "w1"); })->code() == Errc::in_use);

  // And of two at the same time one gets it.
  std::atomic<int> refused = 0;
  const auto start = [&] {
    const auto failed = thrown_by<Error>([&] { launcher.start_slave(master.dir / "w2", "w2"); });
    if (failed && failed->code() == Errc::in_use) ++refused;
  };
  auto one = std::async(std::launch::async, start);
  start();
  one.wait();
  CHECK(refused == 1);
  CHECK(master.slaves.size() == 2);
}

TEST_CASE("the name of a slave that was disconnected can be launched before the collection has seen its end") {
  const TempDir dir;
  const Event blocked;
  const Event go;
  std::atomic<bool> is_first = true;
  const auto log = [&](const LogRecord& record) {  // stops the io thread
    if (!has(record.message, "not let in") || !is_first.exchange(false)) return;
    blocked.happened();
    static_cast<void>(go.wait());
  };
  SlaveCollection slaves;
  KeyRing keys;
  const Secret key = make_key();
  const auto registered = keys.register_slave("w1", key);
  TcpSlaveListener listener({.slave_collection = slaves, .keys = keys, .log = log});
  listener.start();
  SlaveThread by_itself({.name = "w1", .basedir = dir / "w1", .key = key},
                        [&](SlaveServer& server) { return server.run_once(listener.address()); });
  SlaveLauncher launcher({.listener = listener});
  const auto slave = slaves.get_slave(ample);
  REQUIRE(slave);
  const int stranger = connect_to_port(listener.port());
  REQUIRE(::send(stranger, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL) == 18);
  REQUIRE(blocked.wait());
  slave->disconnect();
  REQUIRE(slaves.find("w1") == slave);
  std::optional<Pending<std::shared_ptr<Slave>>> launched;
  CHECK_NOTHROW(launched.emplace(launcher.launch_slave(dir / "again", {.name = "w1"})));
  go.happened();
  ::close(stranger);
  REQUIRE(launched);
  CHECK(launched->wait() != slave);
}

TEST_CASE("what makes no sense is refused before anything is started") {
  SlaveCollection slaves;
  TcpSlaveListener keyless({.slave_collection = slaves, .keyless = true});
  CHECK(has(thrown_by<Error>([&] { const SlaveLauncher launcher({.listener = keyless}); })->message(), "keys"));
  TcpSlaveListener stopped({.slave_collection = slaves, .keys = KeyRing()});
  const auto both = thrown_by<Error>(
      [&] { const SlaveLauncher launcher({.listener = stopped, .command = {"remsh-slave"}, .embedded = true}); });
  CHECK(both->code() == Errc::invalid_argument);
  SlaveLauncher launcher({.listener = stopped});
  CHECK(has(thrown_by<Error>([&] { launcher.start_slave("x", "w1"); })->message(), "start() the listener"));
  stopped.start();
  CHECK(thrown_by<Error>([&] { launcher.start_slave("x", "no name"); })->code() == Errc::invalid_argument);
}

TEST_CASE("a launched slave ends when its launcher's process does, however that ends") {
  // The pipe to the slave is all that matters of it, so here the test holds it.
  LaunchingMaster master;
  const Secret key = make_key();
  const auto registered = master.keys.register_slave("w1", key);
  const std::string input = master.dir / "input";
  REQUIRE(::mkfifo(input.c_str(), 0600) == 0);
  std::ofstream writer;
  std::thread opener([&] { writer.open(input); });
  Program program({"--master", master.listener->address(), "--key", "-", "--until-eof", "--basedir", master.dir / "w1"},
                  {}, input);
  opener.join();
  writer << "w1 " << key.to_base64() << std::endl;
  const auto slave = master.slaves.get_slave(ample);
  REQUIRE(slave);
  const Lifeline lifeline;
  std::jthread caller([&] { CHECK_THROWS_AS(slave->execute(lifeline.endless_command()), ConnectionLost); });
  REQUIRE(lifeline.wait_for_begin());
  writer.close();
  CHECK(program.wait() == 0);
  CHECK(lifeline.wait_for_end());
}

TEST_CASE("an operator gives a slave its key by standard input, whose end is then nothing") {
  LaunchingMaster master;
  const Secret key = make_key();
  const auto registered = master.keys.register_slave("w1", key);
  master.dir.write("w1.key", "# of w1\nw1 " + key.to_base64() + "\n");
  const Program program({"--master", master.listener->address(), "--key", "-", "--basedir", master.dir / "w1"}, {},
                        master.dir / "w1.key");
  const auto first = master.slaves.get_slave(ample);
  REQUIRE(first);
  CHECK(first->name() == "w1");
  first->disconnect();
  CHECK(next_after(master.slaves, *first));
}

TEST_CASE("what comes by standard input and is not one line with a key ends with words, and shows no key") {
  const TempDir dir;
  const std::string key = make_key().to_base64();
  const auto err_of = [&](const std::string& text, int code, const std::string& name = {}) {
    dir.write("in", text);
    std::vector<std::string> args{"--master", "tls:127.0.0.1:1", "--key", "-"};
    if (!name.empty()) args.insert(args.end(), {"--name", name});
    Program program(args, {}, dir / "in");
    CHECK(program.wait() == code);
    CHECK_FALSE(has(program.err(), key));
    return program.err();
  };
  CHECK(has(err_of("", 70), "no key is in it"));
  CHECK(has(err_of("w1\n", 70), "standard input:1:"));
  CHECK(has(err_of("w1 " + key + "\nw2 " + make_key().to_base64() + "\n", 70), "one key"));
  CHECK(has(err_of(std::string(100'000, 'x'), 70), "standard input"));
  CHECK(has(err_of("w1 " + key + "\n", 64, "w2"), "the key on standard input is that of 'w1'"));
  Program both({"--stdio", "--until-eof"});
  CHECK(both.wait() == 64);
}

TEST_CASE("a slave's own key file is read by a call too") {
  const TempDir dir;
  Program keygen({"keygen", "add", "w1", "--keys", dir / "slaves.keys", "--slave-file", dir / "w1.key"});
  REQUIRE(keygen.wait() == 0);
  const SlaveKey own = read_slave_key(dir / "w1.key");
  CHECK(own.name == "w1");
  CHECK(has(dir.read("slaves.keys"), "w1 " + own.key.to_base64()));

  ::chmod((dir / "w1.key").c_str(), 0644);
  const auto open = thrown_by<Error>([&] { read_slave_key(dir / "w1.key"); });
  REQUIRE(open);
  CHECK(open->code() == Errc::invalid_argument);
  CHECK(has(open->message(), "chmod 600"));
  const auto missing = thrown_by<Error>([&] { read_slave_key(dir / "none"); });
  REQUIRE(missing);
  CHECK(missing->os() == std::errc::no_such_file_or_directory);
}

}  // namespace remsh::test
