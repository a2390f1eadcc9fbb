// The program remsh-slave and signals: what ends it, and what makes it connect now.
#include "support/fake_master.hpp"
#include "support/has.hpp"
#include "support/listen_at.hpp"
#include "support/program.hpp"
#include "support/slaves.hpp"

#include <remsh/connection/connection.hpp>
#include <remsh/transport/descriptors.hpp>

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

/// Takes the next connection of a socket, and refuses the slave that comes by it for an hour.
bool refuse_for_an_hour(int listening) {
  pollfd ready{listening, POLLIN, 0};
  if (::poll(&ready, 1, static_cast<int>(std::chrono::milliseconds(ample).count())) != 1) return false;
  Connection connection(socket_transport(::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC), "a slave"));
  if (!connection.read_box(ample)) return false;
  connection.send_box({{"_answer", "1"}, {"features", ""}, {"nonce", Bytes(32, 'm')}, {"version", "2"}});
  if (!connection.read_box(ample)) return false;
  connection.send_box({{"_answer", "2"}, {"reason", "a long break"}, {"refused", "full"}, {"retry", "3600000"}});
  return !connection.read_box(ample);  // until it has gone
}

/// Starts remsh-slave in a session of its own, where something is set up before.
pid_t start_prepared(const std::vector<std::string>& args, const std::function<void()>& prepare) {
  std::vector<std::string> words{"remsh-slave"};
  words.insert(words.end(), args.begin(), args.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t process = ::fork();
  REQUIRE(process >= 0);
  if (process == 0) {
    ::setsid();
    ::signal(SIGHUP, SIG_DFL);
    prepare();
    ::execvp("remsh-slave", argv.data());
    ::_exit(127);
  }
  return process;
}

/// Waits for the end of a process; its exit code, or minus the signal.
int end_of(pid_t process) {
  int status = 0;
  if (::waitpid(process, &status, 0) != process) return -1000;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace

TEST_CASE("SIGINT, or a second SIGTERM, ends it at once with 0, and what it runs with it") {
  Farm farm(Over::unix_socket);
  // At once, by SIGINT or by a second SIGTERM.
  for (const std::vector<int>& signals : {std::vector<int>{SIGINT}, {SIGTERM, SIGTERM}}) {
    CAPTURE(signals.size());
    Program program({"--keyless", "--drain=86400", "--master", farm.listener->address(), "--basedir", farm.basedir(),
                     "--name", "worker"});
    const auto slave = farm.slaves.get_slave(ample);
    REQUIRE(slave);
    const Lifeline lifeline;
    std::optional<ConnectionLost> lost;
    std::jthread caller([&] { lost = thrown_by<ConnectionLost>([&] { slave->execute(lifeline.endless_command()); }); });
    REQUIRE(lifeline.wait_for_begin());
    for (const int signal : signals) {
      REQUIRE(::kill(program.pid(), signal) == 0);
      if (signals.size() > 1) CHECK(eventually([&] { return slave->is_draining(); }));
    }
    CHECK(program.wait() == 0);
    caller.join();
    REQUIRE(lost);
    CHECK(has(lost->message(), "the slave stops"));
    CHECK(lifeline.wait_for_end());
    CHECK(eventually([&] { return farm.slaves.size() == 0; }));
  }
}

TEST_CASE("SIGTERM makes it leave: the master hears of it, what runs is finished, and it ends with 0 and stays away") {
  Farm farm(Over::unix_socket);
  Program program(
      {"--drain=86400", "--master", farm.listener->address(), "--basedir", farm.basedir(), "--name", "worker"});
  const auto slave = farm.slaves.get_slave(ample);
  REQUIRE(slave);
  const Lifeline lifeline;
  auto command = slave->start_execute(
      {"sh", "-c", "exec 9>\"$0\"; echo >&9; while ! [ -e go_on ]; do sleep 0.05; done; echo done", lifeline.path()});
  REQUIRE(lifeline.wait_for_begin());
  REQUIRE(::kill(program.pid(), SIGTERM) == 0);
  CHECK(eventually([&] { return slave->is_draining(); }));
  CHECK(eventually([&] { return farm.slaves.snapshot().at(0).draining; }));
  CHECK(farm.slaves.get_slave(no_wait) == nullptr);
  slave->send(Source::bytes(""), "go_on");  // further work of the same job
  const ExecuteResult result = command.wait();
  CHECK(result.out == "done\n");
  CHECK(program.wait() == 0);
  CHECK(eventually([&] { return farm.slaves.size() == 0; }));
  CHECK(slave->disconnect_reason() == DisconnectReason::released);
  CHECK(has(slave->lost_reason(), "SIGTERM"));
  CHECK(has(program.err(), "the master has let it go"));
}

TEST_CASE("when the time after SIGTERM is over, what runs is ended and answered, and the slave leaves") {
  Farm farm(Over::unix_socket);
  Program program({"--drain=0", "--master", farm.listener->address(), "--basedir", farm.basedir(), "--name", "worker"});
  const auto slave = farm.slaves.get_slave(ample);
  REQUIRE(slave);
  const Lifeline lifeline;
  auto command = slave->start_execute(lifeline.endless_command());
  REQUIRE(lifeline.wait_for_begin());
  REQUIRE(::kill(program.pid(), SIGTERM) == 0);
  const auto error = thrown_by<RemoteError>([&] { command.wait(); });
  REQUIRE(error);
  CHECK(error->code() == Errc::cancelled);
  CHECK(lifeline.wait_for_end());
  CHECK(program.wait() == 0);
  CHECK(eventually([&] { return !slave->is_connected(); }));
  CHECK(slave->disconnect_reason() == DisconnectReason::released);
}

TEST_CASE("SIGTERM ends a slave that has no master now") {
  const TempDir dir;
  Program program({"--drain=86400", "--master", "unix:" + (dir / "nobody"), "--basedir", dir / "base"});
  REQUIRE(eventually([&] { return has(program.err(), "connecting again in "); }));
  REQUIRE(::kill(program.pid(), SIGTERM) == 0);
  CHECK(program.wait() == 0);
}

TEST_CASE("a second SIGTERM ends a slave whose master does not answer it") {
  const TempDir dir;
  const std::string path = dir / "socket";
  const int listening = listen_at(path);
  Program program({"--drain=86400", "--master", "unix:" + path, "--basedir", dir / "base", "--name", "worker"});
  Connection connection(socket_transport(::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC), "a slave"));
  REQUIRE(connection.read_box(ample));
  const auto begin = std::chrono::steady_clock::now();
  REQUIRE(::kill(program.pid(), SIGTERM) == 0);
  REQUIRE(eventually([&] { return has(program.err(), "ends within 86400 s"); }));
  REQUIRE(::kill(program.pid(), SIGTERM) == 0);
  CHECK(program.wait() == 0);
  CHECK(std::chrono::steady_clock::now() - begin < 10s);  // the handshake may take 20 s
  ::close(listening);
}

TEST_CASE("a slave without standard streams is ended with its commands, too") {
  Farm farm(Over::unix_socket);
  const pid_t process = start_prepared(
      {"--master", farm.listener->address(), "--basedir", farm.basedir(), "--name", "worker"}, [] {
        for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::close(standard);
      });
  const auto slave = farm.slaves.get_slave(ample);
  REQUIRE(slave);
  const auto worker = static_cast<pid_t>(std::stol(slave->execute({"sh", "-c", "echo $PPID"}).out));
  const Lifeline lifeline;
  auto command = slave->start(lifeline.endless_command());
  REQUIRE(lifeline.wait_for_begin());
  REQUIRE(::kill(worker, SIGKILL) == 0);
  CHECK(end_of(process) == -SIGKILL);
  CHECK(lifeline.wait_for_end());
  CHECK_THROWS_AS(command.wait(), ConnectionLost);
}

TEST_CASE("a slave that is shut down by its master ends with 0 and stays away") {
  Farm farm(Over::unix_socket);
  Program program({"--master", farm.listener->address(), "--basedir", farm.basedir(), "--name", "worker"});
  const auto slave = farm.slaves.get_slave(ample);
  REQUIRE(slave);
  slave->shutdown({.reason = "the lease of the machine is over"});
  CHECK(program.wait() == 0);
  CHECK(has(program.err(), "the lease of the machine is over"));
  CHECK(eventually([&] { return farm.slaves.size() == 0; }));
  CHECK(slave->disconnect_reason() == DisconnectReason::released);
}

TEST_CASE("SIGHUP makes a slave without a terminal connect now, and does nothing to one that is connected") {
  const TempDir dir;
  const std::string path = dir / "socket";
  const int listening = listen_at(path);
  Program program({"--master", "unix:" + path, "--basedir", dir / "base", "--name", "worker"});
  REQUIRE(refuse_for_an_hour(listening));
  REQUIRE(eventually([&] { return has(program.err(), "a long break; connecting again in "); }));
  REQUIRE(::kill(program.pid(), SIGHUP) == 0);
  CHECK(refuse_for_an_hour(listening));

  ::close(listening);  // stale from here on
  SlaveCollection slaves;
  UnixSlaveListener listener({.slave_collection = slaves, .path = path});
  listener.start();
  REQUIRE(eventually([&] { return has(program.err(), "the same as before, 2 times now"); }));
  REQUIRE(::kill(program.pid(), SIGHUP) == 0);
  const auto slave = slaves.get_slave(ample);
  REQUIRE(slave);
  REQUIRE(::kill(program.pid(), SIGHUP) == 0);
  CHECK(slave->execute({"true"}).ok());
  CHECK(slave->is_connected());
  REQUIRE(::kill(program.pid(), SIGTERM) == 0);
  CHECK(program.wait() == 0);
}

TEST_CASE("Ctrl-C at its terminal ends a slave, and so does the end of the terminal") {
  for (const bool is_interrupted : {true, false}) {
    CAPTURE(is_interrupted);
    Farm farm(Over::unix_socket);
    const int ours = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(ours >= 0);
    REQUIRE((::grantpt(ours) == 0 && ::unlockpt(ours) == 0));
    const std::string theirs = ::ptsname(ours);
    const pid_t process = start_prepared(
        {"--master", farm.listener->address(), "--basedir", farm.basedir(), "--name", "worker"}, [&theirs] {
          const int terminal = ::open(theirs.c_str(), O_RDWR);  // becomes the terminal of the new session
          for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(terminal, standard);
        });
    CHECK(farm.slaves.get_slave(ample));
    if (is_interrupted) CHECK(::write(ours, "\x03", 1) == 1);
    if (!is_interrupted) ::close(ours);
    CHECK(end_of(process) == 0);
    if (is_interrupted) ::close(ours);
  }
}

TEST_CASE("who starts it may ignore SIGCHLD, and have few descriptors") {
  Farm farm(Over::unix_socket);
  const pid_t process =
      start_prepared({"--master", farm.listener->address(), "--basedir", farm.basedir(), "--name", "worker"}, [] {
        ::signal(SIGCHLD, SIG_IGN);
        rlimit limit{};
        ::getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = 100;
        ::setrlimit(RLIMIT_NOFILE, &limit);
      });
  const auto slave = farm.slaves.get_slave(ample);
  REQUIRE(slave);
  CHECK(slave->execute({"sh", "-c", "exit 7"}).exit_code == 7);
  rlimit limit{};
  REQUIRE(::prlimit(worker_of(process), RLIMIT_NOFILE, nullptr, &limit) == 0);
  CHECK(limit.rlim_cur == limit.rlim_max);
  // Linux 6.15 and later keep the status of most commands all the same, so that does not show it.
  std::ifstream status("/proc/" + std::to_string(worker_of(process)) + "/status");
  std::uint64_t ignored = ~std::uint64_t{0};
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("SigIgn:")) ignored = std::stoull(line.substr(7), nullptr, 16);
  }
  CHECK((ignored >> (SIGCHLD - 1) & 1U) == 0);
  ::kill(process, SIGTERM);
  CHECK(end_of(process) == 0);
}

TEST_CASE("a signal that all processes of a slave get is one") {
  Farm farm(Over::unix_socket);
  const TempDir dir;
  dir.write("conf", "master = " + farm.listener->address() + "\nname = worker\nbasedir = " + farm.basedir() + "\n");
  ::chmod((dir / "conf").c_str(), 0600);
  Program program({"--config", dir / "conf"});
  REQUIRE(farm.slaves.get_slave(ample));
  const pid_t worker = program.worker();
  REQUIRE(::kill(worker, SIGHUP) == 0);
  REQUIRE(::kill(program.pid(), SIGHUP) == 0);
  REQUIRE(::kill(program.pid(), SIGTERM) == 0);
  CHECK(program.wait() == 0);
  const std::string text = program.err();
  CAPTURE(text);
  const std::size_t first = text.find("the options were reloaded");
  CHECK(first != std::string::npos);
  CHECK(text.find("the options were reloaded", first + 1) == std::string::npos);
}

TEST_CASE("SIGTERM also ends it while it waits for a master") {
  const FakeMaster closes("");
  Program program({"--keyless", "--master", closes.address()});
  CHECK(eventually([&] { return has(program.err(), "connecting again"); }));
  REQUIRE(::kill(program.pid(), SIGTERM) == 0);
  CHECK(program.wait() == 0);
}

}  // namespace remsh::test
