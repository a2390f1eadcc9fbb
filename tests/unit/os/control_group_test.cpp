// Control groups: what is written for a limit. What comes of it is in api/control_group.
#include "os/control_group.hpp"

#include "support/temp_dir.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

using namespace remsh;

namespace {

/// A directory of plain files in place of a control group.
class FakeGroup {
 public:
  explicit FakeGroup(const std::string& controllers) {
    write("cgroup.controllers", controllers + "\n");
    write("cgroup.subtree_control", "");
    write("cgroup.procs", "");
  }
  void write(const std::string& file, const std::string& text) const {
    std::ofstream(dir_.path() + "/" + file, std::ios::trunc) << text;
  }
  [[nodiscard]] std::string read(const std::string& file) const {
    std::ifstream stream(dir_.path() + "/" + file);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  [[nodiscard]] std::string path() const { return dir_.path(); }

  /// The only group in it.
  [[nodiscard]] std::string group() const {
    std::string found;
    for (const auto& entry : std::filesystem::directory_iterator(dir_.path())) {
      if (!entry.is_directory()) continue;
      CHECK(found.empty());
      found = entry.path().filename();
    }
    return found;
  }

 private:
  test::TempDir dir_;
};

}  // namespace

TEST_CASE("a group gets its limits, and its parent the controllers for them") {
  const FakeGroup fake("cpuset cpu io memory pids");
  const auto groups = ControlGroups::in(fake.path());
  REQUIRE(groups.ok());
  const auto group = groups->make({.memory = 1000, .processes = 20, .cpu = 1500});
  REQUIRE_MESSAGE(group.ok(), group.failure().message);
  const std::string name = fake.group();
  CHECK(name.starts_with("remsh-command-" + std::to_string(::getpid()) + "-"));
  CHECK(fake.read(name + "/memory.max") == "1000");
  CHECK(fake.read(name + "/memory.swap.max") == "0");
  CHECK(fake.read(name + "/memory.oom.group") == "1");
  CHECK(fake.read(name + "/pids.max") == "20");
  CHECK(fake.read(name + "/cpu.max") == "150000 100000");
  CHECK(fake.read("cgroup.subtree_control") == "+cpu");  // the last of the three: a plain file does not collect them
  CHECK(::write(group->entrance(), "0", 1) == 1);
  CHECK(fake.read(name + "/cgroup.procs") == "0");
}

TEST_CASE("a controller that is on already is not turned on, and one that is not there is an error that names it") {
  const FakeGroup fake("cpu pids");
  fake.write("cgroup.subtree_control", "cpu pids\n");
  const auto groups = ControlGroups::in(fake.path());
  REQUIRE(groups.ok());
  CHECK(groups->make({.processes = 1}).ok());
  CHECK(fake.read("cgroup.subtree_control") == "cpu pids\n");
  CHECK(fake.read(fake.group() + "/memory.max").empty());

  const auto refused = groups->make({.memory = 1});
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.failure().os == EOPNOTSUPP);
  CHECK(refused.failure().message.find("has no controller 'memory'") != std::string::npos);
  CHECK(refused.failure().message.find("Delegate=yes") != std::string::npos);
  CHECK_FALSE(ControlGroups::in(fake.path() + "/missing").ok());
}

TEST_CASE("the processes of a slave leave its group for one below it, and those of others stay where they are") {
  const FakeGroup fake("pids");
  fake.write("cgroup.type", "domain\n");
  fake.write("cgroup.procs", std::to_string(::getpid()) + "\n");
  const auto groups = ControlGroups::in(fake.path());
  REQUIRE(groups.ok());
  const auto busy = groups->make({.processes = 1});  // from a plain file no process leaves
  REQUIRE_FALSE(busy.ok());
  CHECK(busy.failure().os == EBUSY);
  CHECK(fake.read("cgroup.subtree_control").empty());
  fake.write("cgroup.procs", "");
  REQUIRE(groups->make({.processes = 1}).ok());
  CHECK(fake.read("remsh-slave-processes/cgroup.procs") == std::to_string(::getpid()));
  CHECK(fake.read("cgroup.subtree_control") == "+pids");

  const FakeGroup shared("pids");
  shared.write("cgroup.type", "domain\n");
  shared.write("cgroup.procs", "1\n" + std::to_string(::getpid()) + "\n");
  const auto in_shared = ControlGroups::in(shared.path());
  REQUIRE(in_shared.ok());
  const auto refused = in_shared->make({.processes = 1});
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.failure().os == EBUSY);
  CHECK(refused.failure().message.find("processes that are not of this slave") != std::string::npos);
  CHECK(shared.read("cgroup.subtree_control").empty());
  CHECK(shared.group().empty());
}

TEST_CASE("the events of a group say what its processes have run out of") {
  const FakeGroup fake("memory pids");
  const auto groups = ControlGroups::in(fake.path());
  REQUIRE(groups.ok());
  const auto group = groups->make({.memory = 1000, .processes = 20});
  REQUIRE(group.ok());
  CHECK_FALSE(group->ran_out_of_memory());
  CHECK_FALSE(group->ran_out_of_processes());
  fake.write(fake.group() + "/memory.events", "low 0\nhigh 0\nmax 12\noom 1\noom_kill 0\noom_group_kill 0\n");
  fake.write(fake.group() + "/pids.events", "max 0\n");
  CHECK_FALSE(group->ran_out_of_memory());
  CHECK_FALSE(group->ran_out_of_processes());
  fake.write(fake.group() + "/memory.events", "low 0\nhigh 0\nmax 12\noom 1\noom_kill 2\noom_group_kill 1\n");
  fake.write(fake.group() + "/pids.events", "max 1\n");
  CHECK(group->ran_out_of_memory());
  CHECK(group->ran_out_of_processes());

  // Ended because the whole system is out of memory.
  fake.write(fake.group() + "/memory.events", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 1\noom_group_kill 0\n");
  CHECK_FALSE(group->ran_out_of_memory());
}

TEST_CASE("a group is removed with its object, or later if there are processes in it") {
  const FakeGroup fake("pids");
  const auto groups = ControlGroups::in(fake.path());
  REQUIRE(groups.ok());
  {
    const auto group = groups->make({.processes = 5});
    REQUIRE(group.ok());
    for (const auto& file : std::filesystem::directory_iterator(fake.path() + "/" + fake.group())) {
      std::filesystem::remove(file);
    }
  }
  CHECK(fake.group().empty());
}

TEST_CASE("the groups of slaves that were killed, and of the program before this one, are removed, and no others") {
  const FakeGroup fake("pids");
  for (const std::string name : {"remsh-command-999999999-1", "remsh-command-1-1", "remsh-command-x", "other"}) {
    std::filesystem::create_directory(fake.path() + "/" + name);
  }
  std::filesystem::create_directory(fake.path() + "/remsh-command-" + std::to_string(::getpid()) + "-1");
  CHECK(ControlGroups::in(fake.path()).ok());
  CHECK_FALSE(std::filesystem::exists(fake.path() + "/remsh-command-999999999-1"));
  CHECK(std::filesystem::exists(fake.path() + "/remsh-command-x"));
  CHECK_FALSE(std::filesystem::exists(fake.path() + "/remsh-command-" + std::to_string(::getpid()) + "-1"));
  CHECK(std::filesystem::exists(fake.path() + "/remsh-command-1-1"));
  CHECK(std::filesystem::exists(fake.path() + "/other"));
}
