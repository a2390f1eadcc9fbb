// Why a slave has gone, and what it is when it comes again: causes provoked on real processes, as the master sees them.
#include "support/program.hpp"
#include "support/skip.hpp"
#include "support/slaves.hpp"

#include <csignal>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

namespace remsh::test {

namespace {

/// The reason of a slave's end, when it has come and the collection knows it.
std::optional<DisconnectReason> reason_when_gone(const SlaveCollection& slaves, Slave& slave) {
  CHECK(eventually([&] { return slaves.size() == 0; }));
  return slave.disconnect_reason();
}

Incarnation incarnation_in(const SlaveCollection& slaves) { return slaves.snapshot().at(0).incarnation; }

}  // namespace

TEST_CASE("cut, killed, released, restarted and rebooted are different values") {
  const TempDir dir;
  SlaveCollection slaves;
  LocalSlaveListener local({.slave_collection = slaves, .command = {"remsh-slave"}});
  auto slave = local.start_slave(dir / "base", "worker");
  CHECK(incarnation_in(slaves) == Incarnation::first);
  CHECK_FALSE(slave->info().boot_id.empty());
  CHECK_FALSE(slave->info().instance_id.empty());
  const std::string boot_id = slave->info().boot_id;

  REQUIRE(::kill(process_of(*slave), SIGKILL) == 0);
  CHECK(reason_when_gone(slaves, *slave) == DisconnectReason::cut);
  slave = local.start_slave(dir / "base", "worker");
  CHECK(incarnation_in(slaves) == Incarnation::restarted);
  CHECK(slave->info().boot_id == boot_id);

  CHECK(local.kill_slave(slave));
  CHECK(reason_when_gone(slaves, *slave) == DisconnectReason::killed);
  slave = local.start_slave(dir / "base", "worker");
  CHECK(incarnation_in(slaves) == Incarnation::restarted);

  REQUIRE(::kill(process_of(*slave), SIGTERM) == 0);
  CHECK(reason_when_gone(slaves, *slave) == DisconnectReason::released);

  dir.write("boot_id", "another boot\n");
  const std::string other_boot = "mount --bind \"$0\" /proc/sys/kernel/random/boot_id && exec \"$@\"";
  const std::string can_be_played = "unshare -rm sh -c '" + other_boot + "' " + (dir / "boot_id") + " true";
  if (std::system((can_be_played + " 2>/dev/null").c_str()) != 0) {
    return skip("the system does not let us show a slave another id of its boot");
  }
  LocalSlaveListener rebooted({.slave_collection = slaves,
                               .command = {"unshare", "-rm", "sh", "-c", other_boot, dir / "boot_id", "remsh-slave"}});
  slave = rebooted.start_slave(dir / "base", "worker");
  CHECK(slave->info().boot_id == "another boot");
  CHECK(incarnation_in(slaves) == Incarnation::rebooted);
}

TEST_CASE("a slave whose connection alone has ended comes again as the same process, and can be waited for") {
  Farm farm(Over::unix_socket);
  const Program program({"--master", farm.listener->address(), "--basedir", farm.basedir(), "--name", "worker"});
  const auto slave = farm.slaves.get_slave(ample);
  REQUIRE(slave);
  slave->disconnect();
  const auto next = farm.slaves.wait_for_successor(*slave, ample);
  REQUIRE(next);
  CHECK(next != slave);
  CHECK(incarnation_in(farm.slaves) == Incarnation::reconnected);
  CHECK(next->info().instance_id == slave->info().instance_id);
}

}  // namespace remsh::test
