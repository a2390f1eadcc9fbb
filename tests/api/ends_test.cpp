// Ends: nothing that a command started outlives the end of the command, whatever it does to get away.
#include "support/program.hpp"
#include "support/slaves.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

/// A remsh-slave that serves a farm, and its slave.
struct Served {
  explicit Served(Farm& farm)
      : program({"--keyless", "--master", farm.listener->address(), "--basedir", farm.basedir(), "--name", "worker"}),
        slave(farm.slaves.get_slave(ample)) {
    REQUIRE(slave);
  }
  Program program;
  std::shared_ptr<Slave> slave;
};

/// Leaves its session, its parents, its environment and its outputs, and goes on for as long as anybody waits.
constexpr const char* fugitive =
    "(setsid env -i /bin/sh -c 'echo $$ >pid; exec 9>\"$0\"; echo >&9; exec /bin/sleep 100000' \"$0\" "
    "</dev/null >/dev/null 2>&1 &) ; ";

struct Shape {
  const char* name;
  const char* script;  // $0: a lifeline, in which it writes a line when it has taken its shape
};

/// Twelve ways in which what a command starts may get away. Each holds the lifeline open for as long as it lives.
constexpr Shape shapes[] = {
    {"a child", "exec 9>\"$0\"; sleep 100000 & echo >&9; wait"},
    {"an orphan", "exec 9>\"$0\"; (sleep 100000 &); echo >&9; exec sleep 100000"},
    {"a session of its own", "exec 9>\"$0\"; setsid sleep 100000 & echo >&9; wait"},
    {"an orphan in a session of its own", "exec 9>\"$0\"; (setsid sleep 100000 &); echo >&9; exec sleep 100000"},
    {"a process group of its own", "exec 9>\"$0\"; set -m; sleep 100000 & echo >&9; wait"},
    {"ignores SIGTERM", "trap '' TERM HUP INT; exec 9>\"$0\"; sleep 100000 & echo >&9; wait; sleep 100000"},
    {"stopped", "exec 9>\"$0\"; sleep 100000 & kill -STOP $!; echo >&9; wait"},
    {"without its environment", "exec 9>\"$0\"; env -i /bin/sleep 100000 & echo >&9; wait"},
    {"without its outputs", "exec 9>\"$0\"; (sleep 100000 </dev/null >/dev/null 2>&1 &); echo >&9; exec sleep 100000"},
    {"one process after the other",
     "exec 9>\"$0\"; next() { [ \"$1\" -gt 3000 ] || { (sleep 0.01; next $(($1 + 1))) & } }; next 0; echo >&9; "
     "exec sleep 100000"},
    {"an orphan in a session of its own that ignores SIGTERM and is stopped",
     "exec 9>\"$0\"; (setsid sh -c 'trap \"\" TERM; echo >&9; kill -STOP $$; sleep 100000' &); exec sleep 100000"},
    {"all of it at once, and the command does not end either",
     "trap '' TERM; exec 9>\"$0\"; (setsid env -i /bin/sh -c 'trap \"\" TERM HUP; echo >&9; exec /bin/sleep 100000' "
     "</dev/null >/dev/null 2>&1 &); sleep 100000; sleep 100000"},
};

/// Whether the process runs whose number a command has written to the file `pid`.
bool runs(const Farm& farm) {
  std::ifstream file(farm.basedir() + "/pid");
  pid_t pid = 0;
  return file >> pid && ::kill(pid, 0) == 0;
}

/// How many children a process has, with those that nobody has reaped; or only those in a state, as /proc names it.
std::size_t count_children(pid_t parent, char wanted = '\0') {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "stat");
    std::string line;
    if (!std::getline(file, line)) continue;
    char state = 0;
    long of = 0;
    if (std::sscanf(line.c_str() + line.rfind(')') + 1, " %c %ld", &state, &of) != 2) continue;
    if (of == parent && (wanted == '\0' || state == wanted)) ++count;
  }
  return count;
}

}  // namespace

TEST_CASE("a cancelled command ends with a descendant that left session, parents, environment and outputs") {
  Farm farm(Over::unix_socket);
  Served served(farm);
  const Lifeline lifeline;
  std::stop_source stop;
  std::jthread caller([&] {
    CHECK_THROWS_AS(served.slave->execute({"sh", "-c", std::string(fugitive) + "exec sleep 100000", lifeline.path()},
                                          {.stop = stop.get_token()}),
                    Cancelled);
  });
  REQUIRE(lifeline.wait_for_begin());
  stop.request_stop();
  CHECK(lifeline.wait_for_end());
}

TEST_CASE("a command that timed out ends with such a descendant, and is not answered before") {
  Farm farm(Over::unix_socket);
  Served served(farm);
  for (auto timeout = 500ms; true; timeout *= 2) {  // until the descendant has begun before the time is over
    const Lifeline lifeline;
    const auto result = served.slave->execute(
        {"sh", "-c", std::string(fugitive) + "exec sleep 100000", lifeline.path()}, {.timeout = timeout});
    CHECK(result.timed_out);
    CHECK(!result.left_background);
    if (!lifeline.has_begun()) {
      REQUIRE(timeout < ample);
      continue;
    }
    CHECK(lifeline.wait_for_end());
    break;
  }
}

TEST_CASE("what a command leaves in the background is told, goes on beside other commands, and ends with the slave") {
  Farm farm(Over::unix_socket);
  Served served(farm);
  const Lifeline lifeline;
  const auto result = served.slave->execute({"sh", "-c", fugitive, lifeline.path()}, {.background = Background::leave});
  CHECK(result.ok());
  REQUIRE(lifeline.wait_for_begin());
  CHECK(result.left_background);
  CHECK(!served.slave->execute({"true"}).left_background);
  CHECK(!served.slave->execute({"sleep", "0.3"}).left_background);
  CHECK_THROWS_AS(served.slave->execute({"sleep", "100000"}, {.deadline = Deadline(100ms)}), Timeout);
  CHECK(eventually([&] { return count_children(served.program.worker(), 'S') == 1; }));  // the one that was left
  CHECK(runs(farm));

  REQUIRE(::kill(served.program.pid(), SIGTERM) == 0);
  CHECK(lifeline.wait_for_end());
  CHECK(served.program.wait() == 0);
}

TEST_CASE("a slave that is killed leaves no command behind, and neither its processes in other sessions") {
  Farm farm(Over::unix_socket);
  Served served(farm);
  const Lifeline lifeline;
  std::jthread caller([&] {
    CHECK_THROWS_AS(served.slave->execute({"sh", "-c",
                                           "trap '' TERM; setsid sh -c 'exec 9>\"$0\"; sleep 100000; :' \"$0\" & "
                                           "exec 9>\"$0\"; echo >&9; while :; do sleep 100000; done",
                                           lifeline.path()},
                                          {.kill_after = 1h}),
                    ConnectionLost);
  });
  REQUIRE(lifeline.wait_for_begin());
  REQUIRE(::kill(served.program.pid(), SIGKILL) == 0);
  CHECK(lifeline.wait_for_end());
}

TEST_CASE("an interrupt ends a command whatever shape it takes, before its result comes") {
  Farm farm(Over::unix_socket);
  Served served(farm);
  for (const Shape& shape : shapes) {
    const std::string name = shape.name;
    CAPTURE(name);
    const Lifeline lifeline;
    Command command = served.slave->start({"sh", "-c", shape.script, lifeline.path()}, {.kill_after = 100ms});
    REQUIRE(lifeline.wait_for_begin());
    CHECK(command.interrupt("get out"));
    CHECK(command.wait().interrupted);
    CHECK(lifeline.has_ended());
  }
}

TEST_CASE("a slave that is killed takes its commands with it, whatever shape they take") {
  Farm farm(Over::unix_socket);
  for (const Shape& shape : shapes) {
    for (const bool kills_worker : {false, true}) {
      const std::string name = shape.name;
      CAPTURE(name);
      CAPTURE(kills_worker);
      Served served(farm);
      const pid_t worker = served.program.worker();
      const Lifeline lifeline;
      Command command = served.slave->start({"sh", "-c", shape.script, lifeline.path()}, {.kill_after = 1h});
      REQUIRE(lifeline.wait_for_begin());
      REQUIRE(::kill(kills_worker ? worker : served.program.pid(), SIGKILL) == 0);
      CHECK_THROWS_AS(command.wait(), ConnectionLost);
      CHECK(served.program.wait() == -SIGKILL);
      CHECK((kills_worker ? lifeline.has_ended() : lifeline.wait_for_end()));
      CHECK(eventually([worker] { return is_gone(worker); }));
      CHECK(eventually([&farm] { return farm.slaves.size() == 0; }));
    }
  }
}

TEST_CASE("the end of a connection ends a command whatever shape it takes") {
  Farm farm(Over::unix_socket);
  for (const Shape& shape : shapes) {
    const std::string name = shape.name;
    CAPTURE(name);
    Served served(farm);
    const Lifeline lifeline;
    Command command = served.slave->start({"sh", "-c", shape.script, lifeline.path()}, {.kill_after = 100ms});
    REQUIRE(lifeline.wait_for_begin());
    served.slave->disconnect("enough");
    CHECK_THROWS_AS(command.wait(), ConnectionLost);
    CHECK(lifeline.wait_for_end());
    REQUIRE(::kill(served.program.pid(), SIGINT) == 0);
    CHECK(served.program.wait() == 0);
    CHECK(eventually([&farm] { return farm.slaves.size() == 0; }));
  }
}

TEST_CASE("kill_slave ends a command whatever shape it takes, even if it gives the slave no time") {
  for (const auto kill_after : {10000ms, 0ms}) {
    Farm farm(Over::local_process, {.kill_after = kill_after});
    for (const Shape& shape : shapes) {
      const std::string name = shape.name;
      CAPTURE(name);
      CAPTURE(kill_after.count());
      const auto slave = farm.start();
      const Lifeline lifeline;
      Command command = slave->start({"sh", "-c", shape.script, lifeline.path()}, {.kill_after = 100ms});
      REQUIRE(lifeline.wait_for_begin());
      CHECK(farm.local().kill_slave(slave));
      CHECK_THROWS_AS(command.wait(), ConnectionLost);
      CHECK(lifeline.wait_for_end());
    }
  }
}

TEST_CASE("orphans that end are reaped while their command runs") {
  Farm farm(Over::unix_socket);
  Served served(farm);
  std::jthread caller([&] {
    CHECK_THROWS_AS(served.slave->execute({"sh", "-c",
                                           "i=0; while [ $i -lt 200 ]; do (sleep 0 &); i=$((i+1)); done; echo > made; "
                                           "exec sleep 100000"}),
                    ConnectionLost);
  });
  REQUIRE(eventually([&] { return std::filesystem::exists(farm.basedir() + "/made"); }));
  CHECK(eventually([&] { return count_children(served.program.worker()) == 1; }));  // the command itself
  REQUIRE(::kill(served.program.pid(), SIGINT) == 0);
  CHECK(served.program.wait() == 0);
}

TEST_CASE("a slave whose command does not want to end ends when it is told to, also while it waits to connect again") {
  Farm farm(Over::unix_socket);
  Served served(farm);
  const Lifeline lifeline;
  std::stop_source stop;
  std::jthread caller([&] {
    CHECK_THROWS_AS(
        served.slave->execute(
            {"sh", "-c", "trap '' TERM; echo $$ >pid; exec 9>\"$0\"; echo >&9; while :; do sleep 100000; done",
             lifeline.path()},
            {.kill_after = 1h, .stop = stop.get_token()}),
        Error);
  });
  REQUIRE(lifeline.wait_for_begin());
  stop.request_stop();  // so the kill is under way when the connection ends
  served.slave->ping();
  const Event gone;
  served.slave->on_disconnect([&gone] { gone.happened(); });
  served.slave->disconnect("come back");
  REQUIRE(gone.wait());
  CHECK(runs(farm));
  REQUIRE(::kill(served.program.pid(), SIGTERM) == 0);
  CHECK(served.program.wait() == 0);
  CHECK(lifeline.wait_for_end());
}

}  // namespace remsh::test
