// The program remsh-slave, as an operator meets it.
#include "support/program.hpp"
#include "support/skip.hpp"
#include "support/slaves.hpp"

#include <remsh/auth/key_ring.hpp>
#include <remsh/connection/connection.hpp>
#include <remsh/transport/descriptors.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iterator>
#include <set>
#include <sstream>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

bool has(const std::string& text, const std::string& words) { return text.find(words) != std::string::npos; }

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
           {{"--stdio", "--name", ""}, "needs a value"},
           {{"--stdio", "--basedir="}, "needs a value"},
           {{"--once=yes", "--stdio"}, "takes no value"},
           {{"--master", "localhost:1", "--stdio"}, "either"},
           {{"--master", "localhost"}, "localhost"},
           {{"--master", "localhost:99999"}, "99999"},
           {{"--master", "unix:"}, "unix"},
           {{"--master", "localhost:1", "--name", "no spaces"}, "no spaces"},
           {{"--master", "localhost:1"}, "--keyless"},
           {{"--master", "tls:localhost:1"}, "--key FILE"},
           {{"--master", "tls:localhost:1", "--keyless"}, "--key FILE"},
           {{"--master", "localhost:1", "--keyless", "--insecure"}, "have a key"},
           {{"--master", "localhost:1", "--keyless", "--ca", "ca.pem"}, "tls:HOST:PORT"},
           {{"--stdio", "--keyless"}, "it takes no --keyless"},
           {{"--stdio", "--key", "w1.key"}, "it takes no --key"},
           {{"--master", "localhost:1", "--keyless", "--allow", "stat,exeute"}, "exeute"},
           {{"--master", "localhost:1", "--keyless", "--allow", "stat,"}, "one comma between"},
           {{"--stdio", "--root", ""}, "needs a value"},
           {{"--stdio", "--no-execute=1"}, "takes no value"},
           {{"--master", "localhost:1", "--keyless", "--retry-max", "0"}, "1 to 86400"},
           {{"--master", "localhost:1", "--keyless", "--retry-max=1m"}, "1 to 86400"},
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

TEST_CASE("the environment gives options that the command line does not, and --stdio does not read those of masters") {
  Farm farm(Over::unix_socket);
  const auto in_environment = [](const char* name, const std::string& value) { ::setenv(name, value.c_str(), 1); };
  in_environment("REMSH_MASTER", farm.listener->address());
  in_environment("REMSH_NAME", "of-the-environment");
  in_environment("REMSH_PROTOCOL", "3");
  Program wrong({"--once"});
  Program right({"--once", "--protocol=2", "--basedir", farm.basedir()});
  const auto slave = farm.slaves.get_slave(ample);
  Program by_stdio({"--stdio", "--protocol=2", "--basedir", farm.basedir()});
  for (const char* name : {"REMSH_MASTER", "REMSH_NAME", "REMSH_PROTOCOL"}) ::unsetenv(name);
  CHECK(wrong.wait() == 64);
  CHECK(has(wrong.err(), "REMSH_PROTOCOL takes 1 or 2, not '3'"));
  REQUIRE(slave);
  CHECK(slave->name() == "of-the-environment");
  CHECK(by_stdio.wait() != 64);  // its input ends at once
}

TEST_CASE("a key file that others can read, or that is none, ends with 70 and words") {
  const TempDir dir;
  const std::string file = dir / "w1.key";
  const std::string key = make_key().to_base64();
  dir.write("w1.key", "w1 " + key + "\n");
  ::chmod(file.c_str(), 0640);
  Program open_to_others({"--master", "tls:localhost:1", "--key", file});
  CHECK(open_to_others.wait() == 70);
  CHECK(has(open_to_others.err(), "chmod 600 '" + file + "'"));
  ::chmod(file.c_str(), 0600);
  Program not_there({"--master", "tls:localhost:1", "--key", dir / "none"});
  CHECK(not_there.wait() == 70);
  CHECK(has(not_there.err(), "No such file"));

  Program another_name({"--master", "tls:localhost:1", "--key", file, "--name", "w2"});
  CHECK(another_name.wait() == 64);
  CHECK(has(another_name.err(), "'w1'"));
  Program key_in_place_of_file({"--master", "tls:localhost:1", "--key=" + key});
  CHECK(key_in_place_of_file.wait() == 64);
  CHECK_FALSE(has(key_in_place_of_file.err(), key));
  Program both({"--master", "tls:localhost:1", "--key", file, "--keyless"});
  CHECK(both.wait() == 64);
  CHECK(has(both.err(), "one of the two"));
}

TEST_CASE("a base directory that cannot be used ends with 70 and words") {
  const TempDir dir;
  dir.write("file", "");
  Farm farm(Over::tcp);
  Program program({"--once", "--keyless", "--master", farm.listener->address(), "--basedir", dir / "file/below"});
  CHECK(program.wait() == 70);
  CHECK(has(program.err(), "file/below"));
}

TEST_CASE("a base directory that cannot be used is found out before a master is bothered") {
  const TempDir dir;
  dir.write("file", "");
  Program program({"--once", "--master", "unix:/no/such/socket", "--basedir", dir / "file/below"});
  CHECK(program.wait() == 70);
}

TEST_CASE("--trace also logs every box") {
  Farm farm(Over::tcp);
  Program program(
      {"--trace", "--keyless", "--master", farm.listener->address(), "--basedir", farm.basedir(), "--name", "worker"});
  const auto slave = farm.slaves.get_slave(ample);
  REQUIRE(slave);
  CHECK(slave->execute({"echo", "live"}).ok());
  REQUIRE(::kill(program.pid(), SIGTERM) == 0);
  CHECK(program.wait() == 0);
  for (const char* words :
       {" > _ask=1 _command=hello ", "nonce=<32 bytes>", "_command=execute", "data=<5 bytes>", "_command=goodbye"}) {
    CAPTURE(words);
    CHECK(has(program.err(), words));
  }
}

TEST_CASE("a master that is not there ends --once with 69") {
  std::string address;
  {
    Farm farm(Over::tcp);
    address = farm.listener->address();
  }
  Program program({"--once", "--keyless", "--master", address});
  CHECK(program.wait() == 69);
  CHECK(has(program.err(), "refused"));
  Program local({"--once", "--master", "unix:/no/such/socket"});
  CHECK(local.wait() == 69);
  CHECK(has(local.err(), "No such file"));
}

TEST_CASE("a master that speaks something else ends --once with 76") {
  const FakeMaster http("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
  Program program({"--once", "--keyless", "--master", http.address()});
  CHECK(program.wait() == 76);
  CHECK(has(program.err(), "HTTP"));
}

TEST_CASE("a master that does not want it ends --once with 77 and its reason") {
  Farm farm(Over::tcp,
            {.slave_class = [](SlaveInit) -> std::shared_ptr<Slave> { throw SlaveRefused("come back on Monday"); }});
  Program program({"--once", "--keyless", "--master", farm.listener->address(), "--name", "worker"});
  CHECK(program.wait() == 77);
  CHECK(has(program.err(), "come back on Monday"));
}

TEST_CASE("a master that ends it ends --once with 0, one that vanishes with 75") {
  Farm farm(Over::tcp);
  Program program(
      {"--once", "--keyless", "--master", farm.listener->address(), "--basedir", farm.basedir(), "--name", "worker"});
  const auto slave = farm.slaves.get_slave(ample);
  REQUIRE(slave);
  CHECK(has(slave->info().software, "remsh-slave"));
  slave->disconnect("that was all");
  CHECK(program.wait() == 0);
  CHECK(has(program.err(), "that was all"));

  const FakeMaster closes("");
  Program lost({"--once", "--keyless", "--master", closes.address()});
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
    TcpSlaveListener listener({.slave_collection = slaves, .port = port, .keyless = true});
    listener.start();
    port = listener.port();
    if (!program) {
      program.emplace(std::vector<std::string>{"--keyless", "--master", listener.address(), "--basedir", dir / "base"});
    }
    const auto slave = slaves.get_slave(ample);
    REQUIRE(slave);
    CHECK(slave->execute({"true"}).ok());
  }
  REQUIRE(::kill(program->pid(), SIGTERM) == 0);
  CHECK(program->wait() == 0);
}

TEST_CASE("SIGTERM ends it with 0, and what it runs with it") {
  Farm farm(Over::unix_socket);
  for (const int signal : {SIGTERM, SIGINT}) {
    CAPTURE(signal);
    Program program(
        {"--keyless", "--master", farm.listener->address(), "--basedir", farm.basedir(), "--name", "worker"});
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

TEST_CASE("SIGHUP makes a slave without a terminal connect now, and does nothing to one that is connected") {
  const TempDir dir;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = dir / "socket";
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const int listening = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(::bind(listening, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(listening, 8) == 0);
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

TEST_CASE("SIGHUP ends a slave that has a terminal: it has gone") {
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
  ::close(ours);
  CHECK(end_of(process) == 0);
}

TEST_CASE("a new key in the file of --key counts for the next connection") {
  const TempDir dir;
  KeyRing keys;
  SlaveCollection slaves;
  TcpListenerOptions options{.slave_collection = slaves, .address = "tls:127.0.0.1:0"};
  options.keys = keys;
  TcpSlaveListener listener(std::move(options));
  listener.start();
  const auto give_key = [&] {
    const Secret key = make_key();
    dir.write("new", "w1 " + key.to_base64() + "\n");
    ::chmod((dir / "new").c_str(), 0600);
    ::rename((dir / "new").c_str(), (dir / "w1.key").c_str());
    return keys.register_slave("w1", key);
  };
  std::optional<KeyRegistration> line = give_key();
  Program program({"--master", listener.address(), "--key", dir / "w1.key", "--basedir", dir / "w1"});
  const auto before = slaves.get_slave(ample);
  REQUIRE(before);
  line = give_key();  // the old one ends, and its connection
  const auto is_new = [&before](const Slave& slave) { return slave.info().kid != before->info().kid; };
  CHECK(slaves.get_slave(ample, is_new));
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
  REQUIRE(::prlimit(process, RLIMIT_NOFILE, nullptr, &limit) == 0);
  CHECK(limit.rlim_cur == limit.rlim_max);
  ::kill(process, SIGTERM);
  CHECK(end_of(process) == 0);
}

TEST_CASE("SIGTERM also ends it while it waits for a master") {
  const FakeMaster closes("");
  Program program({"--keyless", "--master", closes.address()});
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

TEST_CASE("an operator says on the command line what a slave does not do") {
  const TempDir dir;
  SlaveCollection slaves;
  LocalSlaveListener local(
      {.slave_collection = slaves,
       .command = {"remsh-slave", "--root", dir / "root", "--allow=set_cwd,stat,execute", "--no-execute"}});
  const auto slave = local.start_slave("base", "worker");
  CHECK(slave->set_cwd() == std::filesystem::canonical(dir / "root/base").string());
  CHECK_FALSE(slave->stat("file"));
  const auto forbids = [](const auto& function) {
    const auto error = thrown_by<RemoteError>(function);
    return error && error->os() == std::errc::operation_not_permitted;
  };
  CHECK(forbids([&] { slave->stat("/etc/passwd"); }));
  CHECK(forbids([&] { slave->mkdir("d"); }));
  CHECK(forbids([&] { slave->execute({"true"}); }));
}

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
              ->execute({"echo", "x"},
                        {.in = Bytes("x"), .stdout_cb = [&](BytesView) { during = count_listening(program.pid()); }})
              .ok());
    CHECK(during == 0);
    CHECK_FALSE(sockets_of(program.pid()).empty());
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
  slave->send(Source::memory(Bytes(2 * 1024 * 1024, 'x')), "large");
  for (const bool overwrite : {false, true}) {
    if (overwrite) slave->send(Source::memory("old"), "disk/file");
    fails("send to 'disk/file'", [&] {
      slave->send(Source([](std::span<char> buffer) { return buffer.size(); }), "disk/file", {.overwrite = overwrite});
    });
    fails("copy 'large' to 'disk/file'", [&] { slave->copy("large", "disk/file", {.overwrite = overwrite}); });
    CHECK(slave->execute({"ls", "-A", "disk"}).out == (overwrite ? "file\n" : ""));
  }
  CHECK(slave->execute({"cat", "disk/file"}).out == "old");
  slave->send(Source::memory(two_thirds), "disk/most");  // there is room again
  fails("copy 'disk/most' to 'disk/again'", [&] { slave->copy("disk/most", "disk/again"); });
  CHECK(slave->execute({"ls", "-A", "disk"}).out == "file\nmost\n");
}

}  // namespace remsh::test
