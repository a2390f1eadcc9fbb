// The hooks of a slave's owner before and after each command.
#include "support/has.hpp"
#include "support/program.hpp"
#include "support/slaves.hpp"

#include <sys/stat.h>

#include <csignal>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

/// A slave with hooks, which are shell scripts.
struct HookedSlave {
  explicit HookedSlave(const std::string& before, const std::string& after = "", const std::string& timeout = "60s")
      : listener({.slave_collection = slaves, .path = dir / "socket"}) {
    listener.start();
    std::vector<std::string> args{"--master",   listener.address(), "--basedir",
                                  dir / "base", "--name=w1",        "--hook-timeout=" + timeout};
    for (const auto& [name, script] : {std::pair("before", before), std::pair("after", after)}) {
      if (script.empty()) continue;
      dir.write(name, "#!/bin/sh\n" + script + "\n");
      ::chmod((dir / name).c_str(), 0700);
      args.insert(args.end(), {std::string("--") + name + "-command", dir / name});
    }
    program.emplace(args);
    slave = slaves.get_slave(ample);
    REQUIRE(slave);
  }

  const TempDir dir;
  SlaveCollection slaves;
  UnixSlaveListener listener;
  std::optional<Program> program;
  std::shared_ptr<Slave> slave;
};

}  // namespace

TEST_CASE("hooks run before and after a command, in its directory, and are told what it is and how it ended") {
  const std::string note = R"(
{ echo "$REMSH_HOOK of $REMSH_HOOK_SLAVE in $REMSH_HOOK_CWD as '${REMSH_HOOK_USER-unset}': $REMSH_HOOK_RESULT"
  eval "set -- $REMSH_HOOK_COMMAND"
  for word; do echo "[$word]"; done
} >>note)";
  HookedSlave hooked(note, note);
  const std::string job = hooked.dir / "base/job";
  hooked.slave->mkdir("job");
  const auto result = hooked.slave->execute({"sh", "-c", "cat note; exit 3", "it's", ""}, {.cwd = "job"});
  CHECK(result.exit_code == 3);
  const std::string words = "[sh]\n[-c]\n[cat note; exit 3]\n[it's]\n[]\n";
  const std::string before = "before of w1 in " + job + " as '': \n" + words;
  CHECK(result.out == before);  // it had run before
  CHECK(hooked.dir.read("base/job/note") == before + "after of w1 in " + job + " as '': exit 3\n" + words);
}

TEST_CASE("a hook forbids a command, with an error that names it and has its words") {
  HookedSlave hooked("case $REMSH_HOOK_COMMAND in *curl*) echo 'no network here' >&2; exit 9;; esac", "touch after");
  const auto error = thrown_by<RemoteError>([&] { hooked.slave->execute({"curl", "--help"}); });
  REQUIRE(error);
  CHECK(error->code() == Errc::remote_failure);
  CHECK(has(error->message(), "hook '" + (hooked.dir / "before") +
                                  "' before the command does not allow it (exit code 9): no network here"));
  CHECK_FALSE(hooked.dir.has("base/after"));
  CHECK(hooked.slave->execute({"true"}).ok());
  CHECK(hooked.dir.has("base/after"));
}

TEST_CASE("a hook that cannot run, or takes too long, forbids the command too") {
  HookedSlave slow("exec sleep 100000", "", "1s");
  auto error = thrown_by<RemoteError>([&] { slow.slave->execute({"true"}); });
  REQUIRE(error);
  CHECK(has(error->message(), "took more than 1 s and was killed"));
  ::unlink((slow.dir / "before").c_str());
  error = thrown_by<RemoteError>([&] { slow.slave->execute({"true"}); });
  REQUIRE(error);
  CHECK(has(error->message(), "No such file"));
  CHECK(has(error->message(), slow.dir / "before"));
}

TEST_CASE("the hook after a command has run when its caller gets the result, whatever ends the command") {
  HookedSlave hooked("", "echo \"$REMSH_HOOK_RESULT\" >>after; exit 5");
  CHECK(hooked.slave->execute({"true"}).ok());
  CHECK(hooked.dir.read("base/after") == "exit 0\n");
  CHECK(hooked.slave->execute({"sh", "-c", "kill -9 $$"}).signal == SIGKILL);
  CHECK(hooked.dir.read("base/after") == "exit 0\nsignal 9\n");
  CHECK(hooked.slave->execute({"sleep", "100000"}, {.timeout = 10ms}).timed_out);
  CHECK(hooked.dir.read("base/after") == "exit 0\nsignal 9\ntimed out\n");
  CHECK_THROWS_AS(hooked.slave->execute({"/no/such/program"}), RemoteError);
  CHECK(hooked.dir.read("base/after") == "exit 0\nsignal 9\ntimed out\nnot started\n");
  CHECK(has(hooked.program->err(), "after the command has failed (exit code 5)"));
}

TEST_CASE("a command whose caller gives it up while a hook runs does not begin, and the hook is killed") {
  HookedSlave hooked("echo $$ >new; mv new pid; exec sleep 100000", "touch after");
  std::stop_source stop;
  std::jthread caller([&] {
    CHECK_THROWS_AS(hooked.slave->execute({"touch", "ran"}, {.stop = stop.get_token()}), Cancelled);
  });
  REQUIRE(eventually([&] { return hooked.dir.has("base/pid"); }));
  const int hook = std::stoi(hooked.dir.read("base/pid"));
  CHECK(::kill(hook, 0) == 0);
  stop.request_stop();
  caller.join();
  CHECK(eventually([hook] { return ::kill(hook, 0) != 0; }));
  CHECK(eventually([&] { return hooked.slave->operations_in_progress().empty(); }));
  CHECK_FALSE(hooked.dir.has("base/ran"));
  CHECK_FALSE(hooked.dir.has("base/after"));
}

TEST_CASE("the hook after a command runs even if the master is gone") {
  HookedSlave hooked("", "echo \"$REMSH_HOOK_RESULT\" >new; mv new after");
  const Lifeline lifeline;
  std::jthread caller([&] { CHECK_THROWS_AS(hooked.slave->execute(lifeline.endless_command()), ConnectionLost); });
  REQUIRE(lifeline.wait_for_begin());
  hooked.slave->disconnect();
  caller.join();
  CHECK(lifeline.wait_for_end());
  CHECK(eventually([&] { return hooked.dir.read("base/after") == "stopped\n"; }));
}

TEST_CASE("a hook without a slash is refused") {
  Program program({"--master=unix:/m", "--before-command=hook"});
  CHECK(program.wait() == 64);
  CHECK(has(program.err(), "--before-command takes the path of a program, with a slash, not 'hook'"));
  CHECK_THROWS_AS(SlaveServer({.after_command = "hook"}), Error);
}

}  // namespace remsh::test
