// Slaves of this host: their processes, their descriptors, and what is left when they die.
#include "support/child_process.hpp"
#include "support/has.hpp"
#include "support/script.hpp"
#include "support/slaves.hpp"

#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <set>
#include <type_traits>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

/// The descriptors of this process.
std::set<int> open_descriptors() {
  std::set<int> result;
  for (int descriptor = 0; descriptor < 4096; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) >= 0) result.insert(descriptor);
  }
  return result;
}

std::string this_program() { return std::filesystem::read_symlink("/proc/self/exe"); }

}  // namespace

TEST_CASE("a slave of this host is started in its directory, under its name") {
  Farm farm(Over::local_process);
  const auto named = farm.local().start_slave(farm.dir / "a/new/directory", "named");
  CHECK(named->name() == "named");
  CHECK(named->set_cwd().ends_with("/a/new/directory"));
  CHECK(process_of(*named) != ::getpid());
  const Bytes supervisor = named->execute({"sh", "-c", "cut -d ' ' -f 4 /proc/$PPID/stat"}).out;
  CHECK(named->info().address + "\n" == "local process " + supervisor);
  const auto unnamed = farm.local().start_slave(farm.dir / "b");
  CHECK(unnamed->name() == "local-1");
  CHECK(farm.slaves.size() == 2);
}

TEST_CASE("what cannot be started is an error that says what and why") {
  SlaveCollection slaves;
  const TempDir dir;
  const auto failure = [&](const std::vector<std::string>& command, const std::string& basedir) {
    LocalSlaveListener local({.slave_collection = slaves, .command = command, .embedded = command.empty()});
    const auto error = thrown_by<Error>([&] { local.start_slave(basedir, "worker"); });
    REQUIRE(error);
    CHECK(error->slave() == "worker");
    if (basedir.find('\0') == std::string::npos) CHECK(error->operation() == "start in '" + basedir + "'");
    return *error;
  };
  const Error missing = failure({"no-such-slave-program"}, dir / "x");
  CHECK(missing.code() == Errc::local_os_error);
  CHECK(missing.os() == std::errc::no_such_file_or_directory);
  CHECK(missing.message().find("no-such-slave-program") != std::string::npos);
  CHECK(has(failure({"sh", "-c", "exit 3"}, dir / "x").message(), "exit code 3"));
  CHECK(has(failure({"sh", "-c", "kill -KILL $$"}, dir / "x").message(), "signal 9"));
  CHECK(failure({"sh", "-c", "echo Hello; exec cat"}, dir / "x").code() == Errc::protocol_error);
  dir.write("file", "");
  const Error unusable = failure({}, dir / "file/below");
  CHECK(unusable.code() == Errc::os_error);
  CHECK(unusable.os() == std::errc::not_a_directory);
  CHECK(has(unusable.message(), "exit code 70; it said: "));
  CHECK(has(unusable.message(), "open the base directory '" + (dir / "file/below") + "'"));
  CHECK_FALSE(has(unusable.message(), "main()"));
  CHECK(failure({}, std::string("a\0b", 3)).code() == Errc::invalid_argument);
  const auto both = thrown_by<Error>([&] {
    const LocalSlaveListener local({.slave_collection = slaves, .command = {"remsh-slave"}, .embedded = true});
  });
  REQUIRE(both);
  CHECK(both->code() == Errc::invalid_argument);
  CHECK(slaves.size() == 0);
}

TEST_CASE(
    "what a program says that does not become a slave is in the error and in the log, without control characters") {
  const TempDir dir;
  const Log log;
  SlaveCollection slaves;
  LocalSlaveListener local({.slave_collection = slaves,
                            .command = script("printf 'ssh: no such host\\r\\n\\033[31mforged\\n' >&2; exit 255"),
                            .log = log.hook()});
  const auto error = thrown_by<ConnectionLost>([&] { local.start_slave(dir / "x", "worker"); });
  REQUIRE(error);
  CHECK(error->message() == "its process ended with exit code 255; it said: ssh: no such host; \\x1B[31mforged");
  CHECK(log.wait_for("worker: its program says: ssh: no such host\n"));
  CHECK(log.wait_for("worker: its program says: \\x1B[31mforged\n"));
  CHECK(log.wait_for("worker: its process ended with exit code 255"));
}

TEST_CASE("what a slave writes to its standard error goes to the log of its listener") {
  Farm farm(Over::local_process);
  const auto slave = farm.start();
  slave->call("complain", {{"text", "the disk is \033[31mfull"}});
  CHECK(farm.log.wait_for("worker: its program says: the disk is \\x1B[31mfull\n"));
}

TEST_CASE("a program that writes without end does not fill the log") {
  const TempDir dir;
  const Log log;
  SlaveCollection slaves;
  LocalSlaveListener local({.slave_collection = slaves,
                            .command = script("yes >&2 & exec \"$0\" --remsh-embedded-slave \"$@\"", this_program()),
                            .kill_after = 0ms,
                            .log = log.hook()});
  const auto slave = local.start_slave(dir / "x", "worker");
  CHECK(log.wait_for("says more than 200 lines in 10 s: the next ones are not logged"));
  CHECK(slave->execute({"true"}).ok());
  CHECK(local.kill_slave(slave));
  CHECK(log.wait_for("lines of its program were not logged"));
  CHECK(log.text().size() < 100'000);
}

TEST_CASE("a program that does not register in time is ended, with what it has started") {
  const TempDir dir;
  const Lifeline lifeline;
  SlaveCollection slaves;
  LocalSlaveListener local(
      {.slave_collection = slaves,
       .command = script("exec 9>" + lifeline.path() +
                         "; trap '' TERM; setsid sh -c 'echo hello >&2; echo >&9; sleep 100000' & sleep 100000"),
       .handshake_timeout = 3s});
  const auto late = thrown_by<Timeout>([&] { local.start_slave(dir / "x", "worker"); });
  REQUIRE(late);
  CHECK(late->slave() == "worker");
  REQUIRE(lifeline.wait_for_begin());
  CHECK(lifeline.wait_for_end());
}

TEST_CASE("without descriptors a slave cannot be started, and the error is this system's") {
  CHECK(run_in_child([] {
          const TempDir dir;
          SlaveCollection slaves;
          LocalSlaveListener local(
              {.slave_collection = slaves,
               .command = script("ulimit -n 1024; exec \"$0\" --remsh-embedded-slave \"$@\"", this_program())});
          const auto limit_to = [](rlim_t count) {
            rlimit limit{};
            ::getrlimit(RLIMIT_NOFILE, &limit);
            limit.rlim_cur = count;
            ::setrlimit(RLIMIT_NOFILE, &limit);
          };
          const rlim_t lowest = 4;  // that the shell can do with
          for (rlim_t count = lowest; count < 256; ++count) {
            std::optional<Error> error;
            limit_to(count);
            try {
              local.start_slave(dir / "x", "worker");
            } catch (const Error& thrown) {
              error = thrown;
            } catch (...) {
              return 1;
            }
            limit_to(1024);
            if (!error) return count == lowest ? 2 : 0;  // that much it takes
            if (error->code() != Errc::local_os_error || error->os() != std::errc::too_many_files_open) return 3;
          }
          return 4;
        }) == 0);
}

TEST_CASE("a started slave gets a few variables of its master's environment, and those that were asked for") {
  const TempDir dir;
  SlaveCollection slaves;
  REQUIRE(::setenv("REMSH_TEST_SECRET", "hidden", 1) == 0);
  REQUIRE(::setenv("LC_REMSH", "C", 1) == 0);
  const auto environment = [&](LocalListenerOptions options) {
    options.embedded = true;
    LocalSlaveListener local(std::move(options));
    return local.start_slave(dir / "x", "worker")->getenv();
  };
  auto env = environment({.slave_collection = slaves});
  CHECK(env["PATH"] == ::getenv("PATH"));
  CHECK(env["LC_REMSH"] == "C");
  CHECK_FALSE(env.contains("REMSH_TEST_SECRET"));
  env = environment({.slave_collection = slaves, .env = {{"LC_REMSH", std::nullopt}, {"A", "b=c"}}});
  CHECK(env["A"] == "b=c");
  CHECK(env.contains("PATH"));
  CHECK_FALSE(env.contains("LC_REMSH"));
  env = environment({.slave_collection = slaves, .env = {{"A", "b"}}, .clear_env = true});
  CHECK(env["A"] == "b");
  CHECK_FALSE(env.contains("PATH"));
  env = environment({.slave_collection = slaves, .env = {{"A", "b"}}, .inherit_env = true});
  CHECK(env["A"] == "b");
  CHECK(env["REMSH_TEST_SECRET"] == "hidden");
  REQUIRE(::unsetenv("REMSH_TEST_SECRET") == 0);
  REQUIRE(::unsetenv("LC_REMSH") == 0);
  for (const std::string& name : {std::string(), std::string("A=B"), std::string("A\0B", 3)}) {
    const auto refused = thrown_by<Error>([&] { environment({.slave_collection = slaves, .env = {{name, "x"}}}); });
    REQUIRE(refused);
    CHECK(refused->code() == Errc::invalid_argument);
  }
  CHECK(thrown_by<Error>([&] { environment({.slave_collection = slaves, .clear_env = true, .inherit_env = true}); }));
}

TEST_CASE("a directory with any characters in its name reaches a slave through a shell as it is") {
  const TempDir dir;
  SlaveCollection slaves;
  // As ssh does it: the arguments, joined by spaces, are a line for the shell there.
  const std::string ssh = "exec sh -c \"exec '$0' --remsh-embedded-slave $*\"";
  for (const std::string name :
       {"plain", "with a space", "a'b\"c", "$(touch pwned)`touch pwned`", "a;touch pwned&", "*?[a-z]{x,y}",
        "line\nline", "%41%", "~", "#x", "\\\\n", "-x", "!x", "\xC3\xA4\xFF", "\x01\t"}) {
    CAPTURE(name);
    LocalSlaveListener through_shell({.slave_collection = slaves, .command = script(ssh, this_program())});
    const std::string directory = dir / name;
    const Bytes reached = through_shell.start_slave(directory)->set_cwd();
    CHECK(reached == std::filesystem::canonical(directory));
    LocalSlaveListener direct({.slave_collection = slaves, .embedded = true});
    CHECK(direct.start_slave(directory)->set_cwd() == reached);
  }
  CHECK(::access("pwned", F_OK) != 0);
  CHECK_FALSE(dir.has("pwned"));
}

TEST_CASE("a program that forgot to be a slave when it was started as one does not start the next") {
  const TempDir here;
  SlaveCollection slaves;
  LocalSlaveListener listener({.slave_collection = slaves, .embedded = true});
  REQUIRE(::setenv("REMSH_EMBEDDED_SLAVE", "1", 1) == 0);  // as such a process finds it
  const auto refused = thrown_by<Error>([&] { listener.start_slave(here / "one"); });
  REQUIRE(::unsetenv("REMSH_EMBEDDED_SLAVE") == 0);
  REQUIRE(refused);
  CHECK(refused->code() == Errc::invalid_argument);
  CHECK(refused->message().find("run_embedded_slave") != std::string::npos);
  const auto slave = listener.start_slave(here / "two");
  CHECK(slave->getenv().count("REMSH_EMBEDDED_SLAVE") == 0);
}

TEST_CASE("a started slave gets the name that it was started for, or none") {
  const TempDir dir;
  const Log log;
  SlaveCollection slaves;
  LocalSlaveListener local(
      {.slave_collection = slaves,
       .command = script("exec \"$0\" --remsh-embedded-slave \"$@\" --name=database", this_program()),
       .log = log.hook()});
  for (const std::string& name : {std::string("innocent"), std::string()}) {
    CAPTURE(name);
    const auto error = thrown_by<Error>([&] { local.start_slave(dir / "x", name); });
    REQUIRE(error);
    CHECK(error->code() == Errc::refused);
    CHECK(error->slave() == (name.empty() ? "local-1" : name));
    CHECK(error->message().find("it registers as 'database', and was started to be '" + error->slave() + "'") !=
          std::string::npos);
    CHECK(slaves.size() == 0);
  }
  CHECK(log.text().find("database") != std::string::npos);
  CHECK(local.start_slave(dir / "x", "database")->name() == "database");
}

TEST_CASE("a name that is taken costs the newcomer its process only") {
  Farm farm(Over::local_process);
  const auto first = farm.start("worker");
  const auto error = thrown_by<Error>([&] { farm.start("worker"); });
  REQUIRE(error);
  CHECK(error->code() == Errc::in_use);
  CHECK(error->message() == "a slave with the name 'worker' is connected");
  CHECK(first->execute({"true"}).ok());
}

TEST_CASE("kill_slave interrupts what the slave does, and nothing of it is left") {
  Farm farm(Over::local_process);
  const auto slave = farm.start();
  const pid_t process = process_of(*slave);
  const Lifeline lifeline;
  std::optional<ConnectionLost> lost;
  std::jthread caller([&] { lost = thrown_by<ConnectionLost>([&] { slave->execute(lifeline.endless_command()); }); });
  REQUIRE(lifeline.wait_for_begin());
  CHECK(farm.local().kill_slave(slave));
  caller.join();
  REQUIRE(lost);
  CHECK(lost->message() == "the slave was killed by its master");
  CHECK(is_gone(process));
  CHECK(lifeline.wait_for_end());
  CHECK_FALSE(farm.local().kill_slave(slave));
  CHECK_FALSE(farm.local().kill_slave(nullptr));
  CHECK(farm.slaves.size() == 0);
}

TEST_CASE("a callback on the end of a slave may kill it, beside others who do, the end of the listener, and its stop") {
  // The callback is registered first, by setup(), and so is before whatever the listener would register.
  struct Mourned final : Slave {
    Mourned(SlaveInit init, std::function<void()> callback) : Slave(std::move(init)), callback_(std::move(callback)) {}
    void setup() override { on_disconnect(callback_); }
    std::function<void()> callback_;
  };
  for (const std::string beside : {"nothing", "a second kill_slave", "the destructor", "stop"}) {
    CAPTURE(beside);
    std::promise<std::shared_ptr<Slave>> promise;
    const auto killed = promise.get_future().share();
    const Event begun;
    const Event over;
    LocalSlaveListener* local = nullptr;
    const auto callback = [&] {
      begun.happened();
      local->kill_slave(killed.get());
      over.happened();
    };
    Farm farm(Over::local_process, {.slave_class = [&](SlaveInit init) -> std::shared_ptr<Slave> {
                return std::make_shared<Mourned>(std::move(init), callback);
              }});
    local = &farm.local();
    const auto slave = farm.start();
    const pid_t process = process_of(*slave);
    promise.set_value(slave);
    if (beside == "a second kill_slave") {
      CHECK(farm.local().kill_slave(slave));
    } else if (beside == "the destructor") {
      slave->disconnect();
      REQUIRE(begun.wait());
      farm.listener.reset();
    } else {
      slave->disconnect();
      if (beside == "stop") farm.listener->stop();
    }
    CHECK(over.wait());
    CHECK(eventually([&] { return is_gone(process); }));
  }
}

TEST_CASE("a callback that hangs does not keep the process of a slave from being reaped") {
  const Event go;
  Farm farm(Over::local_process, {.slave_class = [go](SlaveInit init) {
              auto slave = std::make_shared<Slave>(std::move(init));
              slave->on_disconnect([go] { static_cast<void>(go.wait()); });
              return slave;
            }});
  const auto slave = farm.start();
  const pid_t process = process_of(*slave);
  CHECK(farm.local().kill_slave(slave));
  CHECK(is_gone(process));
  CHECK_FALSE(farm.local().kill_slave(slave));
  go.happened();
}

TEST_CASE("a slave can be killed in its own setup(), and then was not started") {
  struct Unwanted final : Slave {
    Unwanted(SlaveInit init, Farm*& farm) : Slave(std::move(init)), farm_(farm) {}
    void setup() override { CHECK(farm_->local().kill_slave(shared_from_this())); }
    Farm*& farm_;
  };
  Farm* its_farm = nullptr;
  Farm farm(Over::local_process, {.slave_class = [&its_farm](SlaveInit init) -> std::shared_ptr<Slave> {
              return std::make_shared<Unwanted>(std::move(init), its_farm);
            }});
  its_farm = &farm;
  const auto lost = thrown_by<ConnectionLost>([&] { farm.start(); });
  REQUIRE(lost);
  CHECK(lost->message() == "the slave was killed by its master");
  CHECK(farm.slaves.size() == 0);
}

TEST_CASE("what a slave ran that was killed from outside is ended by its master") {
  Farm farm(Over::local_process);
  const auto slave = farm.start();
  const Lifeline lifeline;
  std::vector<Bytes> away{"setsid"};
  for (const Bytes& word : lifeline.endless_command()) away.push_back(word);
  std::jthread caller([&] { CHECK_THROWS_AS(slave->execute(away), ConnectionLost); });
  REQUIRE(lifeline.wait_for_begin());
  ::kill(process_of(*slave), SIGKILL);
  CHECK(lifeline.wait_for_end());
  CHECK(farm.log.wait_for("worker: its process was killed by signal 9"));
  CHECK(farm.start()->execute({"true"}).ok());
}

TEST_CASE("kill_slave ends a slave that is frozen, however short its kill_after is") {
  for (const auto kill_after : {0ms, 50ms}) {
    Farm farm(Over::local_process, {.kill_after = kill_after});
    const auto slave = farm.start();
    const pid_t process = process_of(*slave);
    REQUIRE(stop_process(process));
    CHECK(farm.local().kill_slave(slave));
    CHECK(is_gone(process));
    CHECK(farm.log.text().find("could not be ended") == std::string::npos);
  }
}

TEST_CASE("a slave is not taken for one that was at the same place in memory before") {
  static std::aligned_storage_t<sizeof(Slave), alignof(Slave)> place;
  const Event go;
  Farm farm(Over::local_process, {.slave_class = [go](SlaveInit init) {
              const bool is_first = init.info().name == "first";
              std::shared_ptr<Slave> slave(new (&place) Slave(std::move(init)), [](Slave* gone) { gone->~Slave(); });
              if (is_first) slave->on_disconnect([go] { static_cast<void>(go.wait()); });  // what follows it is late
              return slave;
            }});
  auto first = farm.start("first");
  farm.slaves.remove_slave(*first);
  first->disconnect();
  first.reset();
  auto second = farm.start("second");
  const pid_t process = process_of(*second);
  go.happened();
  CHECK(farm.local().kill_slave(second));
  CHECK(is_gone(process));
}

TEST_CASE("the death of a slave in the middle of an operation is told with its name, and leaves nothing partial") {
  const TempDir here;
  using Attempt = std::function<void(Slave&, const std::function<void()>& die)>;
  for (const auto& example : std::vector<std::pair<std::string, Attempt>>{
           {"execute 'sh'",
            [](Slave&slave, const auto&die) {
              // Nobody is left to end it: it ends with its input.
              slave.execute({"sh", "-c", "echo begun; exec cat > /dev/null"},
                            {.in = InputCallback([](std::span<char> buffer) { return buffer.size(); }),
                             .out = [&](BytesView) { die(); }});
            }},
           {"execute 'cat'",
            [](Slave&slave, const auto&die) {
              slave.execute({"cat"}, {.in = InputCallback([&](std::span<char> buffer) {
                                        die();
                                        return buffer.size();
                                      })});
            }},
           {"fetch 'huge'",
            [&here](Slave&slave, const auto&die) {
              slave.fetch("huge", Sink::file(here / "fetched"), {.progress = [&](auto, auto) { die(); }});
            }},
           {"send to 'sent'",
            [](Slave&slave, const auto&die) {
              slave.send(Source([&](std::span<char> buffer) {
                           die();
                           return buffer.size();
                         }),
                         "sent");
            }},
           {"call 'until_cancelled'",
            [](Slave&slave, const auto&die) {
              const std::jthread killer([&] {
                static_cast<void>(
                    eventually([&] { return ::access((slave.info().basedir + "/begun").c_str(), F_OK) == 0; }));
                die();
              });
              slave.call("until_cancelled");
            }},
           {"copy 'huge' to 'to/copied'",
            [](Slave&slave, const auto&die) {
              slave.mkdir("to");
              const pid_t process = process_of(slave);
              const std::jthread killer([&] {
                static_cast<void>(eventually([&] { return has_open_file_in(process, slave.info().basedir + "/to"); }));
                die();
              });
              slave.copy("huge", "to/copied");
            }},
           {"stat 'huge'",
            [](Slave&slave, const auto&die) {
              die();
              slave.stat("huge");
            }},
       }) {
    const auto& name = example.first;
    const auto& attempt = example.second;
    CAPTURE(name);
    Farm farm(Over::local_process);
    const auto slave = farm.start();
    slave->execute({"truncate", "-s", "1T", "huge"});
    const pid_t process = process_of(*slave);
    const auto lost = thrown_by<ConnectionLost>([&] { attempt(*slave, [process] { ::kill(process, SIGKILL); }); });
    REQUIRE(lost);
    CHECK(lost->slave() == "worker");
    CHECK(lost->operation() == name);
    CHECK_FALSE(lost->message().empty());
    CHECK(here.count() == 0);
    CHECK_FALSE(farm.dir.has("worker/sent"));
    CHECK_FALSE(farm.dir.has("worker/to/copied"));
    CHECK(eventually([&] { return farm.slaves.size() == 0; }));
    CHECK_FALSE(slave->is_connected());
  }
}

TEST_CASE(
    "a slave that is killed while files are sent leaves nothing of them, at the latest soon after it starts again") {
  for (const bool has_unnamed_files : {true, false}) {
    CAPTURE(has_unnamed_files);
    Farm farm(Over::local_process);
    const TempDir elsewhere;
    bool is_set_up = true;
    std::shared_ptr<Slave> slave;
    std::thread([&] {  // what it does to itself goes on to what it starts
      is_set_up = has_unnamed_files || refuse_unnamed_files();
      if (is_set_up) slave = farm.start();
    })
        .join();
    if (!is_set_up) return skip("seccomp is refused, so files without a name cannot be");
    farm.dir.write("worker/.remsh-0123456789abcdef.part", "a user's");
    elsewhere.write(".remsh-0123456789abcdef.part", "a user's");
    const std::string basedir = farm.basedir();
    const std::string below = basedir + "/below";
    const std::string there = elsewhere.path();
    slave->mkdir("below");
    const pid_t process = process_of(*slave);

    // Each has sent half of a file when the slave is killed.
    std::vector<std::jthread> senders;
    for (const std::string& directory : {below, there}) {
      senders.emplace_back([&slave, directory] {
        bool is_first = true;
        const auto half = [&](std::span<char> buffer) -> std::size_t {
          if (std::exchange(is_first, false)) return buffer.size();
          CHECK(eventually([&] { return !slave->is_connected(); }));
          return 0;
        };
        CHECK_THROWS_AS(slave->send(Source(half), directory + "/sent"), ConnectionLost);
      });
    }
    REQUIRE(eventually([&] { return has_open_file_in(process, below) && has_open_file_in(process, there); }));
    ::kill(process, SIGKILL);
    senders.clear();
    const auto entries = [](const std::string& directory) {
      return std::distance(std::filesystem::directory_iterator(directory), std::filesystem::directory_iterator());
    };
    CHECK(entries(basedir) == (has_unnamed_files ? 2 : 3));  // with the directory of records
    CHECK(entries(below) == (has_unnamed_files ? 0 : 1));
    CHECK(entries(there) == (has_unnamed_files ? 1 : 2));

    REQUIRE(eventually([&] { return farm.slaves.size() == 0 && ::kill(process, 0) != 0; }));
    const auto again = farm.start();  // which waits for no disk, and so not for the removal
    CHECK(eventually([&] { return entries(basedir) == 2; }));
    CHECK(entries(below) == 0);
    CHECK(entries(there) == 1);
    CHECK(farm.dir.read("worker/.remsh-0123456789abcdef.part") == "a user's");
  }
}

TEST_CASE("the end of the listener ends its slaves and what they run") {
  Farm farm(Over::local_process);
  const auto slave = farm.start();
  const pid_t process = process_of(*slave);
  const Lifeline lifeline;
  std::jthread caller([&] { CHECK_THROWS_AS(slave->execute(lifeline.endless_command()), ConnectionLost); });
  REQUIRE(lifeline.wait_for_begin());
  farm.listener.reset();
  CHECK(is_gone(process));
  CHECK(lifeline.wait_for_end());
}

TEST_CASE("every descriptor is closed in programs that others start, and when it is not needed any more") {
  const std::set<int> before = open_descriptors();
  for (const Over over : all_transports) {
    CAPTURE(to_string(over));
    {
      Farm farm(over);
      const auto slave = farm.start();
      std::set<int> during;
      slave->execute({"echo", "x"},
                     {.in = Source::bytes(Bytes("in")), .out = [&](BytesView) { during = open_descriptors(); }});
      CHECK(during.size() > before.size());
      for (const int descriptor : during) {
        if (before.contains(descriptor)) continue;
        CAPTURE(descriptor);
        const int flags = ::fcntl(descriptor, F_GETFD);
        CHECK((flags < 0 || (flags & FD_CLOEXEC) != 0));  // gone meanwhile, or not inherited
      }
    }
    CHECK(open_descriptors() == before);
  }
}

}  // namespace remsh::test
