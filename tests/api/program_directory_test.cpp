// remsh-slave create, run and check: the directory of a slave, from nothing to a slave at its master.
#include "support/has.hpp"
#include "support/mode_of.hpp"
#include "support/program.hpp"
#include "support/slaves.hpp"

#include <sys/stat.h>

#include <csignal>
#include <filesystem>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

/// A master over TLS that knows the key of w1, and a file with that key.
struct MasterWithKey {
  MasterWithKey() {
    dir.write("w1.key", "w1 " + key.to_base64() + "\n");
    ::chmod((dir / "w1.key").c_str(), 0600);
    TcpListenerOptions options{.slave_collection = slaves, .address = "tls:127.0.0.1:0"};
    options.keys = keys;
    options.log = log.hook();
    listener.emplace(std::move(options));
    listener->start();
  }

  const TempDir dir;
  const Secret key = make_key();
  KeyRing keys;
  const Log log;
  const KeyRegistration line = keys.register_slave("w1", key);
  SlaveCollection slaves;
  std::optional<TcpSlaveListener> listener;
};

}  // namespace

TEST_CASE("create makes the directory of a slave, and run runs it") {
  MasterWithKey master;
  const std::string where = master.dir / "w1";
  Program create({"create", where, "--master", master.listener->address(), "--key", master.dir / "w1.key", "--name",
                  "w1", "--retry-max=7", "--no-execute"});
  const Run made = create.finish();
  CAPTURE(made.err);
  REQUIRE(made.code == 0);
  CHECK(has(made.err, "of 'w1'"));
  CHECK(mode_of(where) == 0700);
  CHECK(mode_of(where + "/slave.conf") == 0600);
  CHECK(mode_of(where + "/slave.key") == 0600);
  CHECK(master.dir.read("w1/slave.key") == "w1 " + master.key.to_base64() + "\n");
  const std::string config = master.dir.read("w1/slave.conf");
  for (const std::string& line :
       {"master = " + master.listener->address(), std::string("name = w1"), std::string("key = slave.key"),
        std::string("retry-max = 7"), std::string("no-execute = yes"), std::string("basedir = base")}) {
    CAPTURE(line);
    CHECK(has(config, "\n" + line + "\n"));
  }
  CHECK_FALSE(has(config, master.key.to_base64()));

  master.dir.write("w1/base/info/admin", "somebody\n");
  Program run({"run", where});
  const auto slave = master.slaves.get_slave(ample);
  REQUIRE(slave);
  CHECK(slave->name() == "w1");
  CHECK(slave->info().basedir == where + "/base");
  CHECK(slave->read_info().at("admin") == "somebody\n");
  CHECK_THROWS_AS(slave->execute({"true"}), RemoteError);
  Program second({"run", where});
  CHECK(second.wait() == 70);
  CHECK(has(second.err(), "the slave runs already"));
  REQUIRE(::kill(run.pid(), SIGTERM) == 0);
  CHECK(run.wait() == 0);
}

TEST_CASE("stop ends the slave of a directory as SIGTERM does, and waits for its end") {
  MasterWithKey master;
  const std::string where = master.dir / "w1";
  REQUIRE(Program({"create", where, "--master", master.listener->address(), "--key", master.dir / "w1.key"}).wait() ==
          0);
  Program before({"stop", where});
  CHECK(before.wait() == 0);
  CHECK(has(before.err(), "no slave runs in"));

  Program run({"run", where, "--drain=1000"});
  auto lease = master.slaves.reserve({.deadline = ample});
  REQUIRE(lease);
  const auto slave = lease.slave();
  Program stop({"stop", where});
  CHECK(eventually([&] { return slave->is_draining(); }));
  CHECK(lease->execute({"echo", "still here"}).out == "still here\n");
  lease.release();
  CHECK(stop.wait() == 0);
  CHECK(run.wait() == 0);
  CHECK(slave->disconnect_reason() == DisconnectReason::released);
}

TEST_CASE("a slave that its master restarts comes again with its options as they are then, under the same supervisor") {
  MasterWithKey master;
  const std::string where = master.dir / "w1";
  REQUIRE(Program({"create", where, "--master", master.listener->address(), "--key", master.dir / "w1.key"}).wait() ==
          0);
  Program run({"run", std::filesystem::relative(where).string()});
  auto slave = master.slaves.get_slave(ample);
  REQUIRE(slave);
  const auto output_of = [&](const std::string& script) { return slave->execute({"sh", "-c", script}).out; };
  const Bytes descriptors = output_of("ulimit -n");
  const Bytes worker = output_of("echo $PPID");
  const Bytes supervisor = std::to_string(run.pid()) + "\n";
  const std::string parent_of_worker = "awk '/^PPid:/ {print $2}' /proc/$PPID/status";
  CHECK(output_of(parent_of_worker) == supervisor);
  for (const std::string os : {"old", "new"}) {
    CAPTURE(os);
    master.dir.write("w1/slave.conf", master.dir.read("w1/slave.conf") + "label = " + os + "=1\n");
    slave->restart({.reason = "its options have changed"});
    slave = master.slaves.wait_for_successor(*slave, ample);
    REQUIRE(slave);
    CHECK(master.slaves.snapshot().at(0).incarnation == Incarnation::restarted);
    CHECK(slave->claimed_label(os) == "1");
    CHECK(output_of("echo $PPID") == worker);
    CHECK(output_of(parent_of_worker) == supervisor);
    CHECK(output_of("ulimit -n") == descriptors);
    CHECK(output_of("env | grep REMSH_SUPERVISOR").empty());
  }
  CHECK(has(run.err(), "its options have changed"));
  const Lifeline lifeline;
  auto command = slave->start(lifeline.endless_command());
  REQUIRE(lifeline.wait_for_begin());
  REQUIRE(::kill(static_cast<pid_t>(std::stol(worker)), SIGKILL) == 0);
  CHECK(run.wait() == -SIGKILL);
  CHECK(lifeline.wait_for_end());
  CHECK_THROWS_AS(command.wait(), ConnectionLost);
}

TEST_CASE("a slave that was asked to connect once does not start again") {
  Farm farm(Over::unix_socket);
  Program program({"--once", "--master", farm.listener->address(), "--basedir", farm.basedir(), "--name", "worker"});
  const auto slave = farm.slaves.get_slave(ample);
  REQUIRE(slave);
  const auto refused = thrown_by<RemoteError>([&] { slave->restart(); });
  REQUIRE(refused);
  CHECK(refused->code() == Errc::unsupported);
  slave->shutdown();
  CHECK(program.wait() == 0);
}

TEST_CASE("stop --now ends what runs on the slave") {
  MasterWithKey master;
  const std::string where = master.dir / "w1";
  REQUIRE(Program({"create", where, "--master", master.listener->address(), "--key", master.dir / "w1.key"}).wait() ==
          0);
  Program run({"run", where, "--drain=1000"});
  const auto slave = master.slaves.get_slave(ample);
  REQUIRE(slave);
  Command command = slave->start({"sleep", "100000"});
  Program stop({"stop", "--now", where});
  CHECK(stop.wait() == 0);
  CHECK(run.wait() == 0);
  CHECK_THROWS_AS(command.wait(), Error);
}

TEST_CASE("stop signals no process but that of the slave, and says what is wrong") {
  const TempDir dir;
  REQUIRE(Program({"create", dir / "w1", "--master", "unix:/m"}).wait() == 0);
  Program bystander({"run", dir / "w1", "--retry-max=1"});
  const std::string pid_file = "w1/slave.pid";
  REQUIRE(eventually([&] { return dir.has(pid_file); }));
  const std::string right = dir.read(pid_file);
  dir.write(pid_file, std::to_string(::getpid()) + " 1\n");  // this number, but another process
  Program wrong({"stop", dir / "w1"});
  CHECK(wrong.wait() == 70);
  CHECK(has(wrong.err(), "it has just ended, or another one has just begun"));
  dir.write(pid_file, "nonsense\n");
  Program unreadable({"stop", dir / "w1"});
  CHECK(unreadable.wait() == 70);
  CHECK(has(unreadable.err(), "slave.pid does not name a process"));
  dir.write("elsewhere", right);
  std::filesystem::remove(dir / pid_file);
  std::filesystem::create_symlink(dir / "elsewhere", dir / pid_file);
  CHECK(Program({"stop", dir / "w1"}).wait() == 70);
  std::filesystem::remove(dir / pid_file);
  dir.write(pid_file, right);
  CHECK(Program({"stop", dir / "w1"}).wait() == 0);
  CHECK(bystander.wait() == 0);
  CHECK(Program({"stop", dir / "missing"}).wait() == 70);
  CHECK(Program({"stop"}).wait() == 64);
}

TEST_CASE("a slave claims labels, which its master has apart from those of its key") {
  MasterWithKey master;
  const KeyRegistration labelled = master.keys.register_slave("w2", make_key(), KeyTerms{.labels = {{"os", "debian"}}});
  Program create({"create", master.dir / "w1", "--master", master.listener->address(), "--key", master.dir / "w1.key",
                  "--label=os=linux", "--label=gpu=a100"});
  REQUIRE(create.wait() == 0);
  CHECK(has(master.dir.read("w1/slave.conf"), "\nlabel = os=linux\nlabel = gpu=a100\n"));
  Program run({"run", master.dir / "w1"});
  const auto slave = master.slaves.get_slave(ample, claimed_label("gpu", "a100") && !label("os"));
  REQUIRE(slave);
  CHECK(slave->name() == "w1");
  CHECK(slave->claimed_label("os") == "linux");
  CHECK_FALSE(slave->label("gpu"));
  CHECK(slave->info().claimed_labels == std::map<std::string, std::string>{{"gpu", "a100"}, {"os", "linux"}});
  CHECK_FALSE(master.slaves.get_slave(no_wait, claimed_label("rack")));
  Program wrong({"--master=unix:/m", "--label=os=a b"});
  CHECK(wrong.wait() == 64);
  CHECK(has(wrong.err(), "--label: the value of a label is 1 to 256 bytes of UTF-8 without spaces"));
}

TEST_CASE("a slave announces slots and resources, of which several jobs of its master have shares") {
  MasterWithKey master;
  Program create({"create", master.dir / "w1", "--master", master.listener->address(), "--key", master.dir / "w1.key",
                  "--slots=2", "--resource=gpu=1", "--resource=memory=64"});
  REQUIRE(create.wait() == 0);
  CHECK(has(master.dir.read("w1/slave.conf"), "\nslots = 2\nresource = gpu=1\nresource = memory=64\n"));
  Program run({"run", master.dir / "w1"});
  Lease first = master.slaves.reserve({.deadline = ample, .slots = 1, .resources = {{"gpu", 1}, {"memory", 40}}});
  REQUIRE(first);
  CHECK(first->info().slots == 2);
  CHECK(first->info().resources == std::map<std::string, std::uint64_t>{{"gpu", 1}, {"memory", 64}});
  CHECK_FALSE(master.slaves.reserve({.deadline = no_wait, .slots = 1, .resources = {{"memory", 40}}}));
  const Lease second = master.slaves.reserve({.deadline = no_wait, .slots = 1});
  REQUIRE(second);
  CHECK(first->execute({"echo", "hello"}).out == "hello\n");
  CHECK(second->execute({"echo", "hello"}).out == "hello\n");
  first.release();
  CHECK(master.slaves.reserve({.deadline = ample, .resources = {{"gpu", 1}}}));
  const auto nobody = thrown_by<Timeout>([&] {
    static_cast<void>(master.slaves.reserve({.deadline = no_wait, .explain = true, .resources = {{"tape", 1}}}));
  });
  REQUIRE(nobody);
  CHECK(has(nobody->message(), "which does not announce the resource 'tape'"));
  Program wrong({"--master=unix:/m", "--resource=gpu=all"});
  CHECK(wrong.wait() == 64);
  CHECK(has(wrong.err(), "--resource takes NAME=COUNT, as gpu=2"));
}

TEST_CASE("create changes nothing that is there, and says which key is missing") {
  const TempDir dir;
  Program create({"create", dir / "w1", "--master", "tls:localhost:1"});
  CHECK(create.wait() == 0);
  CHECK(has(create.err(), "remsh-slave enrol --master tls:localhost:1 --key '" + (dir / "w1/slave.key") + "'"));
  CHECK(has(dir.read("w1/slave.conf"), "\nkey = slave.key\n"));
  CHECK_FALSE(dir.has("w1/slave.key"));
  const std::string before = dir.read("w1/slave.conf");
  Program again({"create", dir / "w1", "--master", "unix:/m"});
  CHECK(again.wait() == 70);
  CHECK(has(again.err(), "slave.conf' is there already"));
  CHECK(dir.read("w1/slave.conf") == before);
  Program keyless({"create", dir / "w2", "--master", "unix:/m"});
  CHECK(keyless.wait() == 0);
  CHECK_FALSE(has(dir.read("w2/slave.conf"), "key ="));
}

TEST_CASE("what makes no sense for create, run and check ends with 64 and words, and makes nothing") {
  const TempDir dir;
  const std::string where = dir / "w1";
  for (const auto& example : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"create"}, "give one directory"},
           {{"create", where}, "--master ADDRESS"},
           {{"create", where, where, "--master=unix:/m"}, "give one directory"},
           {{"create", where, "--master=unix:/m", "--stdio"}, "unknown option '--stdio'"},
           {{"create", where, "--master=unix:/m", "--basedir= b"}, "no line of a file"},
           {{"create", where, "--master=unix:/m", "--idle-exit=5"}, "a duration"},
           {{"run"}, "give the directory"},
           {{"run", where, where}, "give the directory"},
           {{"check"}, "give the directory"},
           {{"check", where, where}, "give the directory"},
       }) {
    const auto& words = example.second;
    CAPTURE(words);
    Program program(example.first);
    CHECK(program.wait() == 64);
    CHECK(has(program.err(), words));
    CHECK_FALSE(dir.has("w1"));
  }
  for (const char* command : {"run", "check"}) {
    Program nowhere({command, where});
    CHECK(nowhere.wait() == 70);
    CHECK(has(nowhere.err(), "'remsh-slave create DIR' makes one"));
  }
}

TEST_CASE("the command line counts before slave.conf, and a mistake in it is named with its line") {
  Farm farm(Over::unix_socket);
  const TempDir dir;
  Program create({"create", dir / "w1", "--master=unix:/no/such/socket", "--name=of-the-file"});
  REQUIRE(create.wait() == 0);
  Program run({"run", dir / "w1", "--master", farm.listener->address()});
  const auto slave = farm.slaves.get_slave(ample);
  REQUIRE(slave);
  CHECK(slave->name() == "of-the-file");
  REQUIRE(::kill(run.pid(), SIGTERM) == 0);
  CHECK(run.wait() == 0);
  dir.write("w1/slave.conf", "master = unix:/m\nbsaedir = x\n");
  Program wrong({"run", dir / "w1"});
  CHECK(wrong.wait() == 64);
  CHECK(has(wrong.err(), "'slave.conf:2: bsaedir'; did you mean --basedir?"));
  Program by_option({"--config", dir / "w1/slave.conf"});
  CHECK(by_option.wait() == 64);
  CHECK(has(by_option.err(), "'slave.conf:2: bsaedir'"));
}

TEST_CASE("check says that all is well, and the slave does not appear at the master") {
  MasterWithKey master;
  const std::string where = master.dir / "w1";
  Program create({"create", where, "--master", master.listener->address(), "--key", master.dir / "w1.key"});
  REQUIRE(create.wait() == 0);
  for (const bool is_running : {false, true}) {
    CAPTURE(is_running);
    std::optional<Program> run;
    if (is_running) {
      run.emplace(std::vector<std::string>{"run", where});
      REQUIRE(master.slaves.get_slave(ample));
    }
    Program check({"check", where});
    CHECK(check.wait() == 0);
    CAPTURE(check.out());
    for (const char* words : {"ok      configuration", "ok      key: ", "of 'w1'", "ok      base directory: ",
                              "it resolves to 127.0.0.1:", "accepted the proof of the key "}) {
      CAPTURE(words);
      CHECK(has(check.out(), words));
    }
    CHECK_FALSE(has(check.out(), "FAILED"));
    CHECK(master.slaves.size() == (is_running ? 1 : 0));
  }
  CHECK(master.log.wait_for("checked its set-up from"));
}

TEST_CASE("check says what is wrong, and what to do") {
  MasterWithKey master;
  const TempDir& dir = master.dir;
  dir.write("other.key", "w1 " + make_key().to_base64() + "\n");
  ::chmod((dir / "other.key").c_str(), 0600);
  dir.write("file", "");
  SlaveCollection slaves;
  UnixSlaveListener keyless({.slave_collection = slaves, .path = dir / "socket"});
  keyless.start();
  struct Example {
    std::vector<std::string> options;
    int code;
    std::string what;
    std::string advice;
  };
  for (const Example& example : std::vector<Example>{
           {{"--master", master.listener->address(), "--key", dir / "w1.key"}, 0, "accepted the proof", ""},
           {{"--master", keyless.address()}, 0, "without a key", ""},
           {{"--master", master.listener->address(), "--key", dir / "other.key"}, 77, "FAILED  master", "keygen list"},
           {{"--master", master.listener->address(), "--key", dir / "none"}, 70, "FAILED  key", "remsh-slave enrol"},
           {{"--master", master.listener->address()}, 64, "a slave needs its key", "change the options"},
           {{"--master=tls:no-such-host.invalid:1", "--key", dir / "w1.key"},
            69,
            "FAILED  master tls:no-such-host.invalid:1",
            "resolver"},
           {{"--master=tls:127.0.0.1:1", "--key", dir / "w1.key"}, 69, "refused", "is the master started"},
           {{"--master", "unix:" + (dir / "none")}, 69, "No such file", "is the master started"},
           {{"--master", keyless.address(), "--basedir", dir / "file/below"}, 70, "base directory", "give another one"},
           {{"--master", keyless.address(), "--allow=exeute"}, 64, "'exeute' is no operation", "correct --allow"},
           {{"--master", keyless.address(), "--log-file", dir / "none/log"}, 70, "log file", "make its directory"},
       }) {
    std::vector<std::string> words{"check"};
    words.insert(words.end(), example.options.begin(), example.options.end());
    if (!has(example.what, "base directory")) words.insert(words.end(), {"--basedir", dir / "base"});
    Program check(words);
    const Run run = check.finish();
    CAPTURE(example.what);
    CAPTURE(run.out);
    CAPTURE(run.err);
    CHECK(run.code == example.code);
    CHECK(has(run.out, example.what));
    CHECK(has(run.out, "FAILED") == (example.code != 0));
    if (example.code != 0) CHECK(has(run.out, "\n        "));
    CHECK(has(run.out, example.advice));
  }
}

}  // namespace remsh::test
