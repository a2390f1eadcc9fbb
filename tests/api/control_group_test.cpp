// Limits for all processes of a command together. Whether they can be made depends on this system.
#include "support/skip.hpp"
#include "support/slaves.hpp"

#include <csignal>
#include <optional>
#include <string>

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

}  // namespace

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
