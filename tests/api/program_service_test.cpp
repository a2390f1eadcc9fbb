// remsh-slave as a service: what systemd hears, its log, and SIGHUP.
#include "support/has.hpp"
#include "support/program.hpp"
#include "support/slaves.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

/// What a service manager hears, at a socket of its own. Its thread reads all the time, as the socket holds little.
class ServiceEar {
 public:
  ServiceEar() : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path().c_str(), sizeof address.sun_path - 1);
    REQUIRE(::bind(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    thread_ = std::jthread([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        pollfd ready{socket_, POLLIN, 0};
        ::poll(&ready, 1, 50);
        std::array<char, 4096> buffer{};
        const ssize_t count = ::recv(socket_, buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (count <= 0) continue;
        const std::lock_guard lock(mutex_);
        text_.append(buffer.data(), static_cast<std::size_t>(count)) += '\n';
      }
    });
  }
  ServiceEar(const ServiceEar&) = delete;
  ServiceEar& operator=(const ServiceEar&) = delete;
  ~ServiceEar() {
    thread_ = {};
    ::close(socket_);
  }

  [[nodiscard]] std::string path() const { return dir_ / "notify"; }

  /// Waits until these words have arrived, behind those of the last call.
  [[nodiscard]] bool hears(const std::string& words) {
    return eventually([&] {
      const std::lock_guard lock(mutex_);
      const std::size_t at = text_.find(words);
      if (at == std::string::npos) return false;
      text_.erase(0, at + words.size());
      return true;
    });
  }

 private:
  const TempDir dir_;
  const int socket_;
  std::mutex mutex_;
  std::string text_;
  std::jthread thread_;
};

/// Starts remsh-slave with standard error in a file, which $JOURNAL_STREAM says is journald's.
pid_t start_in_journal(std::vector<std::string> args, const std::string& file) {
  args.insert(args.begin(), "remsh-slave");
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  struct stat what {};
  const int journal = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  REQUIRE(journal >= 0);
  REQUIRE(::fstat(journal, &what) == 0);
  const std::string stream = std::to_string(what.st_dev) + ":" + std::to_string(what.st_ino);
  const pid_t process = ::fork();
  REQUIRE(process >= 0);
  if (process == 0) {
    ::dup2(journal, STDERR_FILENO);
    ::setenv("JOURNAL_STREAM", stream.c_str(), 1);
    ::execvp("remsh-slave", argv.data());
    ::_exit(127);
  }
  ::close(journal);
  return process;
}

}  // namespace

TEST_CASE("systemd hears that the slave is ready, what it does, that it is alive, and that it stops") {
  Farm farm(Over::unix_socket);
  ServiceEar systemd;
  ::setenv("NOTIFY_SOCKET", systemd.path().c_str(), 1);
  ::setenv("WATCHDOG_USEC", "2000000", 1);
  Program program({"--keyless", "--master", farm.listener->address(), "--basedir", farm.basedir(), "--name", "worker"});
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC"}) ::unsetenv(name);
  CHECK(systemd.hears("READY=1"));
  const auto slave = farm.slaves.get_slave(ample);
  REQUIRE(slave);
  CHECK(systemd.hears("STATUS=" + farm.listener->address() + ": registered"));
  CHECK(systemd.hears("WATCHDOG=1"));
  CHECK(systemd.hears("WATCHDOG=1"));
  CHECK(slave->execute({"sh", "-c", "echo $NOTIFY_SOCKET$WATCHDOG_USEC$WATCHDOG_PID"}).out == "\n");
  REQUIRE(::kill(program.pid(), SIGHUP) == 0);
  CHECK(systemd.hears("RELOADING=1\nMONOTONIC_USEC="));
  CHECK(systemd.hears("READY=1"));
  REQUIRE(::kill(program.pid(), SIGTERM) == 0);
  CHECK(systemd.hears("STOPPING=1"));
  CHECK(program.wait() == 0);
}

TEST_CASE("a log that goes to journald has its priorities, and no times") {
  const TempDir dir;
  const pid_t process =
      start_in_journal({"--once", "--master", "unix:" + (dir / "none"), "--basedir", dir / "base"}, dir / "journal");
  int status = 0;
  REQUIRE(::waitpid(process, &status, 0) == process);
  CHECK(WEXITSTATUS(status) == 69);
  const std::string text = dir.read("journal");
  CAPTURE(text);
  CHECK(text.starts_with("<3>ends: "));
  CHECK(text.find('\n') == text.size() - 1);
}

TEST_CASE("the log can be a file, of lines of JSON, and then nothing is on standard error") {
  const TempDir dir;
  Program program({"--once", "--master", "unix:" + (dir / "none"), "--basedir", dir / "base", "--log-file", dir / "log",
                   "--log-json"});
  CHECK(program.wait() == 69);
  CHECK(program.err().empty());
  const std::string text = dir.read("log");
  CAPTURE(text);
  CHECK(text.starts_with("{\"time\":\"2"));
  CHECK(has(text, R"("level":"error","component":"slave","message":"ends: )"));
  Program unusable({"--once", "--master", "unix:/none", "--log-file", dir / "none/log"});
  CHECK(unusable.wait() == 70);
  CHECK(has(unusable.err(), "none/log': No such file"));
}

TEST_CASE("SIGHUP opens the log again, and reloads the masters and the level") {
  const TempDir dir;
  std::vector<std::shared_ptr<SlaveCollection>> collections;
  std::vector<std::shared_ptr<UnixSlaveListener>> listeners;
  for (const char* name : {"a", "b"}) {
    collections.push_back(std::make_shared<SlaveCollection>());
    listeners.push_back(std::make_shared<UnixSlaveListener>(
        UnixListenerOptions{.slave_collection = *collections.back(), .path = dir / name}));
    listeners.back()->start();
  }
  const std::string common = "basedir = " + (dir / "base") + "\nlog-file = " + (dir / "log") + "\nname = w1\nmaster = ";
  dir.write("conf", common + "unix:" + (dir / "a") + "\n");
  ::chmod((dir / "conf").c_str(), 0600);
  Program program({"--config", dir / "conf"});
  const auto first = collections[0]->get_slave(ample);
  REQUIRE(first);
  REQUIRE(eventually([&dir] { return has(dir.read("log"), "registered"); }));  // the master may have it earlier

  REQUIRE(std::rename((dir / "log").c_str(), (dir / "old").c_str()) == 0);
  dir.write("conf", common + "not an address\n");
  REQUIRE(::kill(program.pid(), SIGHUP) == 0);
  REQUIRE(eventually([&dir] { return has(dir.read("log"), "the options were not reloaded: conf:4: master: "); }));

  dir.write("conf", common + "unix:" + (dir / "b") + "\nverbose = yes\nretry-max = 3\n");
  REQUIRE(::kill(program.pid(), SIGHUP) == 0);
  REQUIRE(eventually([&dir] { return has(dir.read("log"), "the options were reloaded"); }));
  CHECK(has(dir.read("log"), "changes of 'retry-max' count from the next start on"));
  CHECK(first->is_connected());
  first->disconnect("go on");
  const auto second = collections[1]->get_slave(ample);
  REQUIRE(second);
  CHECK(second->name() == "w1");
  CHECK(has(dir.read("log"), "debug: unix:" + (dir / "b") + ": connecting"));
  CHECK(has(dir.read("old"), "registered"));
  REQUIRE(::kill(program.pid(), SIGTERM) == 0);
  CHECK(program.wait() == 0);
  CHECK(program.err().empty());
}

}  // namespace remsh::test
