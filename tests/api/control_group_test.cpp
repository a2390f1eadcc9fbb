// Limits for all processes of a command together. Whether they can be made depends on this system.
#include "support/skip.hpp"
#include "support/slaves.hpp"
#include "support/temp_dir.hpp"

#include <remsh/master/local_slave_listener.hpp>

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <system_error>

namespace remsh::test {

namespace {

/// Runs a script in a group with these limits. nullopt if this system does not let slaves make it: then nothing ran,
/// and the error says why.
std::optional<ExecuteResult> run(Slave& slave, const Bytes& script, const GroupLimits& limits) {
  std::optional<ExecuteResult> result;
  const auto error = thrown_by<RemoteError>([&] {
    result = slave.execute({"sh", "-c", "touch ran; " + script}, {.group_limits = limits});
  });
  CHECK(slave.stat("ran").has_value() == result.has_value());
  if (result) {
    slave.remove("ran");
  } else {
    REQUIRE(error);
    CHECK(error->code() == Errc::os_error);
    CHECK(error->message().find("control group") != std::string::npos);
    skip(error->message());
  }
  return result;
}

std::string content(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A group of the system for a slave that is not root, as a service has one; empty if it cannot be made here.
class Delegated {
 public:
  Delegated() {
    std::ifstream mounts("/proc/mounts");
    std::string device, directory, type;
    for (std::string rest; mounts >> device >> directory >> type && std::getline(mounts, rest);) {
      if (type == "cgroup2") break;
    }
    if (type != "cgroup2") return;
    std::ofstream(directory + "/cgroup.subtree_control") << "+pids";
    path_ = directory + "/remsh-test-" + std::to_string(::getpid());
    std::error_code error;
    std::filesystem::create_directory(path_, error);
    for (const char* const file : {"", "/cgroup.procs", "/cgroup.subtree_control"}) {
      if (::chown((path_ + file).c_str(), nobody, nobody) != 0) path_.clear();
    }
    if (!path_.empty() && content(path_ + "/cgroup.controllers").find("pids") == std::string::npos) remove();
  }
  Delegated(const Delegated&) = delete;
  Delegated& operator=(const Delegated&) = delete;
  ~Delegated() { remove(); }

  static constexpr uid_t nobody = 65534;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  void remove() {
    if (path_.empty()) return;
    ::rmdir((path_ + "/remsh-slave-processes").c_str());
    ::rmdir(path_.c_str());
    path_.clear();
  }

  std::string path_;
};

}  // namespace

TEST_CASE("a slave that is not root, in a group of its own, leaves it with its supervisor for one below") {
  const Delegated group;
  if (group.path().empty()) return skip("no control group can be made for a slave");
  const std::string as_nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups remsh-slave";
  if (std::system((as_nobody + " --version >/dev/null 2>&1").c_str()) != 0) return skip("nobody cannot run a slave");
  const TempDir dir;
  REQUIRE(::chown(dir.path().c_str(), Delegated::nobody, Delegated::nobody) == 0);
  SlaveCollection slaves;
  LocalSlaveListener listener(
      {.slave_collection = slaves,
       .command = {"sh", "-c", "echo $$ >" + group.path() + "/cgroup.procs && exec " + as_nobody + " \"$@\"", "sh"}});
  const auto slave = listener.start_slave(dir.path());
  const Command running = slave->start({"sleep", "1000"});  // this one moves, too
  CHECK(slave->execute({"true"}, {.group_limits = {.processes = 5}}).ok());
  CHECK(content(group.path() + "/cgroup.procs").empty());
  const std::string moved = content(group.path() + "/remsh-slave-processes/cgroup.procs");
  CHECK(std::count(moved.begin(), moved.end(), '\n') == 3);
  CHECK(slave->execute({"true"}, {.group_limits = {.processes = 5}}).ok());
  listener.kill_slave(slave);
}

TEST_CASE("a command with a limit of processes starts no more, and its result says so") {
  on_each({Over::tcp, Over::local_process}, [](Farm&, Slave& slave) {
    const auto result = run(slave, "for i in 1 2 3 4 5; do sleep 1000 & done; exit 0", {.processes = 3});
    if (!result) return;
    CHECK_FALSE(result->ok());
    CHECK(result->out_of_processes);
    CHECK_FALSE(result->out_of_memory);
    CHECK(result->ended_background);
    CHECK(to_string(*result).find("out of processes") != std::string::npos);
  });
}

TEST_CASE("a command that needs more memory than its limit is ended, and its result says so") {
  on_each({Over::tcp, Over::local_process}, [](Farm&, Slave& slave) {
    const auto result =
        run(slave, "head -c 100000000 /dev/zero | tail -c 99999999; sleep 1000", {.memory = 20'000'000});
    if (!result) return;
    CHECK(result->signal == SIGKILL);
    CHECK(result->out_of_memory);
    CHECK(to_string(*result).find("out of memory") != std::string::npos);
  });
}

TEST_CASE("a command with too little memory for its program ends, and its slave goes on") {
  on_each({Over::tcp, Over::local_process}, [](Farm&, Slave& slave) {
    try {
      const auto result = slave.execute({"true"}, {.group_limits = {.memory = 4096}});
      CHECK(result.signal == SIGKILL);
      CHECK(result.out_of_memory);
    } catch (const RemoteError& error) {
      if (error.message().find("control group") != std::string::npos) return skip(error.message());
      CHECK(error.message().find("program") != std::string::npos);
    }
    CHECK(slave.execute({"true"}).ok());
  });
}

TEST_CASE("a command with a share of a CPU has no more, and a group of its own") {
  on_each({Over::tcp, Over::local_process}, [](Farm&, Slave& slave) {
    const Bytes script = "cat /proc/self/cgroup; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
    const auto result = run(slave, script, {.cpus = 0.2});
    if (!result) return;
    REQUIRE(result->ok());
    CHECK(result->out.find("/remsh-command-") != Bytes::npos);
    CHECK_FALSE(result->out_of_processes);
    CHECK_FALSE(result->out_of_memory);
    REQUIRE((result->ran && result->used.user_time));
    CHECK(*result->ran > 2 * *result->used.user_time);
  });
}

}  // namespace remsh::test
