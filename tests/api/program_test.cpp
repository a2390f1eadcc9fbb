// The program remsh-slave, as an operator meets it.
#include "support/slaves.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>

#include <csignal>

extern char** environ;

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

/// remsh-slave, found on the PATH, its output kept in files. One thread at a time.
class Program {
 public:
  explicit Program(std::vector<std::string> args) {
    args.insert(args.begin(), "remsh-slave");
    std::vector<char*> argv;
    for (std::string& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    const int flags = O_WRONLY | O_CREAT | O_TRUNC;
    ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, 1, (files_ / "out").c_str(), flags, 0600);
    ::posix_spawn_file_actions_addopen(&actions, 2, (files_ / "err").c_str(), flags, 0600);
    const int error = ::posix_spawnp(&pid_, "remsh-slave", &actions, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw std::system_error(error, std::generic_category(), "remsh-slave, which must be on the PATH");
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  /// Waits for its end; the exit code, or minus the signal.
  int wait() {
    int status = 0;
    if (::waitpid(std::exchange(pid_, -1), &status, 0) < 0) return -1000;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  [[nodiscard]] std::string out() const { return files_.read("out"); }
  [[nodiscard]] std::string err() const { return files_.read("err"); }

 private:
  const TempDir files_;
  pid_t pid_ = -1;
};

bool has(const std::string& text, const std::string& words) { return text.find(words) != std::string::npos; }

/// A port of the loopback that listens, and does with each connection what it is told.
class FakeMaster {
 public:
  explicit FakeMaster(std::string answer) {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(socket_, reinterpret_cast<const sockaddr*>(&address), size);
    ::listen(socket_, 16);
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, answer = std::move(answer)] {
      for (;;) {
        const int connection = ::accept(socket_, nullptr, nullptr);
        if (connection < 0) return;
        char buffer[1024];
        static_cast<void>(::read(connection, buffer, sizeof buffer));
        static_cast<void>(::send(connection, answer.data(), answer.size(), MSG_NOSIGNAL));
        ::close(connection);
      }
    });
  }
  FakeMaster(const FakeMaster&) = delete;
  FakeMaster& operator=(const FakeMaster&) = delete;
  ~FakeMaster() {
    ::shutdown(socket_, SHUT_RDWR);
    thread_.join();
    ::close(socket_);
  }

  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  int socket_ = -1;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace

TEST_CASE("the program tells how it is used, and its version") {
  for (const char* option : {"--help", "-h"}) {
    Program help({option});
    CHECK(help.wait() == 0);
    for (const char* words : {"usage: remsh-slave", "--master", "--stdio", "--basedir", "exit codes"}) {
      CHECK(has(help.out(), words));
    }
    CHECK(help.err().empty());
  }
  Program version_of({"--version"});
  CHECK(version_of.wait() == 0);
  CHECK(has(version_of.out(), version));
  CHECK(has(version_of.out(), "remsh 2"));
}

TEST_CASE("what makes no sense on the command line ends with 64 and words") {
  for (const auto& example : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{}, "--master"},
           {{"--frobnicate"}, "--frobnicate"},
           {{"stray"}, "stray"},
           {{"--master"}, "needs a value"},
           {{"--once=yes", "--stdio"}, "takes no value"},
           {{"--master", "localhost:1", "--stdio"}, "either"},
           {{"--master", "localhost"}, "localhost"},
           {{"--master", "localhost:99999"}, "99999"},
           {{"--master", "unix:"}, "unix"},
           {{"--master", "localhost:1", "--name", "no spaces"}, "no spaces"},
       }) {
    const auto& args = example.first;
    const auto& words = example.second;
    CAPTURE(words);
    Program program(args);
    CHECK(program.wait() == 64);
    CHECK(has(program.err(), words));
    CHECK(has(program.err(), "--help"));
    CHECK(program.out().empty());
  }
}

TEST_CASE("a base directory that cannot be used ends with 70 and words") {
  const TempDir dir;
  dir.write("file", "");
  Farm farm(Over::tcp);
  Program program({"--once", "--master", farm.listener->address(), "--basedir", dir / "file/below"});
  CHECK(program.wait() == 70);
  CHECK(has(program.err(), "file/below"));
}

TEST_CASE("a master that is not there ends --once with 69") {
  std::string address;
  {
    Farm farm(Over::tcp);
    address = farm.listener->address();
  }
  Program program({"--once", "--master", address});
  CHECK(program.wait() == 69);
  CHECK(has(program.err(), "refused"));
  Program local({"--once", "--master", "unix:/no/such/socket"});
  CHECK(local.wait() == 69);
  CHECK(has(local.err(), "No such file"));
}

TEST_CASE("a master that speaks something else ends --once with 76") {
  const FakeMaster http("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
  Program program({"--once", "--master", http.address()});
  CHECK(program.wait() == 76);
  CHECK(has(program.err(), "HTTP"));
}

TEST_CASE("a master that does not want it ends --once with 77 and its reason") {
  Farm farm(Over::tcp,
            {.slave_class = [](SlaveInit) -> std::shared_ptr<Slave> { throw SlaveRefused("come back on Monday"); }});
  Program program({"--once", "--master", farm.listener->address(), "--name", "worker"});
  CHECK(program.wait() == 77);
  CHECK(has(program.err(), "come back on Monday"));
}

TEST_CASE("a master that ends it ends --once with 0, one that vanishes with 75") {
  Farm farm(Over::tcp);
  Program program({"--once", "--master", farm.listener->address(), "--basedir", farm.basedir(), "--name", "worker"});
  const auto slave = farm.slaves.get_slave(ample);
  REQUIRE(slave);
  CHECK(has(slave->info().software, "remsh-slave"));
  slave->disconnect("that was all");
  CHECK(program.wait() == 0);
  CHECK(has(program.err(), "that was all"));

  const FakeMaster closes("");
  Program lost({"--once", "--master", closes.address()});
  CHECK(lost.wait() == 75);
}

TEST_CASE("it comes back when the master does") {
  TempDir dir;
  const std::string path = dir / "socket";
  std::optional<Program> program;
  std::uint16_t port = 0;
  for (int round = 0; round < 2; ++round) {
    CAPTURE(round);
    SlaveCollection slaves;
    TcpSlaveListener listener({.slave_collection = slaves, .port = port});
    listener.start();
    port = listener.port();
    if (!program) program.emplace(std::vector<std::string>{"--master", listener.address(), "--basedir", dir / "base"});
    const auto slave = slaves.get_slave(ample);
    REQUIRE(slave);
    CHECK(slave->execute({"true"}).ok());
  }
  REQUIRE(::kill(program->pid(), SIGTERM) == 0);
  CHECK(program->wait() == 0);
}

TEST_CASE("SIGTERM ends it with 0, and what it runs with it") {
  Farm farm(Over::unix_socket);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    CAPTURE(signal);
    Program program({"--master", farm.listener->address(), "--basedir", farm.basedir(), "--name", "worker"});
    const auto slave = farm.slaves.get_slave(ample);
    REQUIRE(slave);
    const Lifeline lifeline;
    std::optional<ConnectionLost> lost;
    std::jthread caller([&] { lost = thrown_by<ConnectionLost>([&] { slave->execute(lifeline.endless_command()); }); });
    REQUIRE(lifeline.wait_for_begin());
    REQUIRE(::kill(program.pid(), signal) == 0);
    CHECK(program.wait() == 0);
    caller.join();
    REQUIRE(lost);
    CHECK(has(lost->message(), "the slave stops"));
    CHECK(lifeline.wait_for_end());
    CHECK(eventually([&] { return farm.slaves.size() == 0; }));
  }
}

TEST_CASE("SIGTERM also ends it while it waits for a master") {
  const FakeMaster closes("");
  Program program({"--master", closes.address()});
  CHECK(eventually([&] { return has(program.err(), "connecting again"); }));
  REQUIRE(::kill(program.pid(), SIGTERM) == 0);
  CHECK(program.wait() == 0);
}

TEST_CASE("the program is what a local listener starts by itself, over its standard input and output") {
  SlaveCollection slaves;
  LocalSlaveListener local({.slave_collection = slaves});
  const TempDir dir;
  const auto slave = local.start_slave(dir / "base", "worker");
  CHECK(slave->execute({"cat"}, {.in = Bytes("stdin of the command, not of the slave")}).out ==
        "stdin of the command, not of the slave");
  CHECK(slave->execute({"cat"}).out.empty());
  CHECK(local.kill_slave(slave));
}

}  // namespace remsh::test
