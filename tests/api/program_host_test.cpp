// The program remsh-slave and its host: sockets, disks.
#include "support/has.hpp"
#include "support/program.hpp"
#include "support/skip.hpp"
#include "support/slaves.hpp"

#include <filesystem>
#include <functional>
#include <iterator>
#include <set>
#include <sstream>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

/// The inodes of all sockets of this host that listen, of TCP and unix ones.
std::set<std::string> listening_sockets() {
  std::set<std::string> inodes;
  // The number of the field that has the state, what is said there of one that listens, and where the inode is.
  struct Table {
    const char* path;
    std::size_t state;
    const char* listens;
    std::size_t inode;
  };
  for (const Table& table : {Table{"/proc/net/tcp", 3, "0A", 9}, Table{"/proc/net/tcp6", 3, "0A", 9},
                             Table{"/proc/net/unix", 3, "00010000", 6}}) {
    std::ifstream lines(table.path);
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      const std::vector<std::string> fields{std::istream_iterator<std::string>(words), {}};
      if (fields.size() > table.inode && fields[table.state] == table.listens) inodes.insert(fields[table.inode]);
    }
  }
  return inodes;
}

/// The inodes of the sockets that a process has open.
std::set<std::string> sockets_of(pid_t process) {
  std::set<std::string> inodes;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/fd")) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
    const std::string prefix = "socket:[";
    if (target.starts_with(prefix)) inodes.insert(target.substr(prefix.size(), target.size() - prefix.size() - 1));
  }
  return inodes;
}

/// How many sockets of a process listen.
std::size_t count_listening(pid_t process) {
  std::size_t count = 0;
  const std::set<std::string> listening = listening_sockets();
  for (const std::string& inode : sockets_of(process)) count += listening.count(inode);
  return count;
}

/// What starts a slave that finds a file system of 1 MiB, and nothing else, in a directory. Ends with 99 where this
/// host lets nobody mount one.
std::vector<std::string> slave_with_small_disk(const std::string& directory) {
  return {"sh", "-c",
          "alone='unshare -rm'; $alone true || alone='unshare -m'; $alone true || exit 99\n"
          "exec $alone sh -c 'mount -t tmpfs -o size=1m none \"$0\" || exit 99; exec remsh-slave \"$@\"' \"$0\" \"$@\"",
          directory};
}

}  // namespace

TEST_CASE("a connected slave has no socket that listens") {
  for (const Over over : {Over::tcp, Over::unix_socket}) {
    CAPTURE(to_string(over));
    Farm farm(over);
    REQUIRE(count_listening(::getpid()) == 1);  // the master's, so it would be seen
    Program program(
        {"--keyless", "--master", farm.listener->address(), "--basedir", farm.basedir(), "--name", "worker"});
    const auto slave = farm.slaves.get_slave(ample);
    REQUIRE(slave);
    std::size_t during = 1;
    CHECK(slave
              ->execute({"echo", "x"}, {.in = Source::bytes(Bytes("x")),
                                        .out = [&](BytesView) { during = count_listening(program.worker()); }})
              .ok());
    CHECK(during == 0);
    CHECK_FALSE(sockets_of(program.worker()).empty());
  }
  SlaveCollection slaves;
  LocalSlaveListener local({.slave_collection = slaves});
  const TempDir dir;
  const auto slave = local.start_slave(dir / "base");
  CHECK(count_listening(process_of(*slave)) == 0);
  CHECK(count_listening(::getpid()) == 0);
}

TEST_CASE("a full disk ends a send and a copy with its cause, and gives back what they took") {
  const TempDir dir;
  std::filesystem::create_directories(dir / "base/disk");
  SlaveCollection slaves;
  LocalSlaveListener local({.slave_collection = slaves, .command = slave_with_small_disk(dir / "base/disk")});
  std::shared_ptr<Slave> slave;
  try {
    slave = local.start_slave(dir / "base", "worker");
  } catch (const Error& error) {
    REQUIRE(has(error.what(), "exit code 99"));
    return skip("no file system can be mounted here");
  }
  const auto fails = [&](const std::string& operation, const std::function<void()>& attempt) {
    const auto error = thrown_by<RemoteError>(attempt);
    CAPTURE(operation);
    REQUIRE(error);
    CHECK(error->code() == Errc::os_error);
    CHECK(error->os() == std::errc::no_space_on_device);
    CHECK(error->slave() == "worker");
    CHECK(error->operation() == operation);
    CHECK(has(error->what(), "ENOSPC"));
  };
  const Bytes two_thirds(700'000, 'x');
  slave->send(Source::bytes(Bytes(2 * 1024 * 1024, 'x')), "large");
  for (const bool overwrite : {false, true}) {
    if (overwrite) slave->send(Source::bytes("old"), "disk/file");
    fails("send to 'disk/file'", [&] {
      slave->send(Source([](std::span<char> buffer) { return buffer.size(); }), "disk/file", {.overwrite = overwrite});
    });
    fails("copy 'large' to 'disk/file'", [&] { slave->copy("large", "disk/file", {.overwrite = overwrite}); });
    CHECK(slave->execute({"ls", "-A", "disk"}).out == (overwrite ? "file\n" : ""));
  }
  CHECK(slave->execute({"cat", "disk/file"}).out == "old");
  slave->send(Source::bytes(two_thirds), "disk/most");  // there is room again
  fails("copy 'disk/most' to 'disk/again'", [&] { slave->copy("disk/most", "disk/again"); });
  CHECK(slave->execute({"ls", "-A", "disk"}).out == "file\nmost\n");
}

}  // namespace remsh::test
