// Process: starting programs, how they end, what they inherit.
#include "os/process.hpp"

#include "support/temp_dir.hpp"
#include "support/watched_calls.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>

using namespace remsh;

namespace {

const std::vector<Bytes> plain_env = {"PATH=/usr/bin:/bin", "LC_ALL=C"};

/// A directory of this test, held open, and its programs.
struct Folder : test::TempDir {
  Folder() : directory(::open(path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {}
  [[nodiscard]] int fd() const { return directory.get(); }
  void write(const std::string& name, const std::string& text, mode_t mode) const {
    std::filesystem::create_directories(std::filesystem::path(*this / name).parent_path());
    TempDir::write(name, text);
    REQUIRE(::chmod((*this / name).c_str(), mode) == 0);
  }
  UniqueFd directory;
};

/// Waits for the end by the descriptor, as the loop does.
ExitStatus wait_for_exit(Process& process) {
  pollfd watched{process.exit_descriptor(), POLLIN, 0};
  while (::poll(&watched, 1, -1) < 0 && errno == EINTR) {
  }
  auto status = process.reap();
  REQUIRE(status.ok());
  REQUIRE(status->has_value());
  return **status;
}

std::string read_to_end(int descriptor) {
  std::string text;
  for (;;) {
    std::array<char, 4096> buffer{};
    const ssize_t got = ::read(descriptor, buffer.data(), buffer.size());
    if (got > 0) {
      text.append(buffer.data(), static_cast<std::size_t>(got));
    } else if (got == 0) {
      return text;
    } else {
      pollfd watched{descriptor, POLLIN, 0};
      ::poll(&watched, 1, -1);
    }
  }
}

/// Runs a program to its end; gives what it wrote.
std::string output_of(SpawnRequest request) {
  auto pipe = open_pipe_from_child();
  REQUIRE(pipe.ok());
  request.out = pipe->theirs.get();
  auto process = spawn(request);
  REQUIRE_MESSAGE(process.ok(), process.failure().message);
  pipe->theirs.reset();
  std::string text = read_to_end(pipe->ours.get());
  wait_for_exit(*process);
  return text;
}

SpawnRequest shell_request(const Bytes& script) { return {.args = {"sh", "-c", script}, .env = plain_env}; }

Failure spawn_failure(const SpawnRequest& request) {
  auto process = spawn(request);
  REQUIRE(!process.ok());
  return process.failure();
}

}  // namespace

TEST_CASE("a program's exit code is given, once its descriptor says that it has ended") {
  for (const bool pidfd : {true, false}) {
    SpawnRequest request = shell_request("exit 7");
    request.use_pidfd = pidfd;
    auto process = spawn(request);
    REQUIRE(process.ok());
    const ExitStatus status = wait_for_exit(*process);
    CHECK(status.code == 7);
    CHECK(!status.signal);
    CHECK(!process->reap().ok());
  }
}

TEST_CASE("a program ended by a signal tells which") {
  for (const bool pidfd : {true, false}) {
    SpawnRequest request = shell_request("kill -ABRT $$");
    request.use_pidfd = pidfd;
    auto process = spawn(request);
    REQUIRE(process.ok());
    const ExitStatus status = wait_for_exit(*process);
    CHECK(status.signal == SIGABRT);
    CHECK(!status.code);
  }
}

TEST_CASE("a program that runs has no status yet") {
  auto process = spawn({.args = {"sleep", "1000"}, .env = plain_env});
  REQUIRE(process.ok());
  CHECK(!process->has_ended());
  auto status = process->reap();
  REQUIRE(status.ok());
  CHECK(!status->has_value());
  CHECK(process->signal_group(SIGKILL));
  CHECK(wait_for_exit(*process).signal == SIGKILL);
  CHECK(process->has_ended());
}

TEST_CASE("a group is signalled as a whole, and never after its leader was reaped") {
  auto pipe = open_pipe_from_child();
  REQUIRE(pipe.ok());
  SpawnRequest request = shell_request("sleep 1000 & echo; wait");
  request.out = pipe->theirs.get();
  auto process = spawn(request);
  REQUIRE(process.ok());
  pipe->theirs.reset();
  pollfd watched{pipe->ours.get(), POLLIN, 0};
  REQUIRE(::poll(&watched, 1, -1) == 1);
  CHECK(process->signal_group(SIGTERM));
  CHECK(read_to_end(pipe->ours.get()) == "\n");  // both have let go of it
  CHECK(wait_for_exit(*process).signal == SIGTERM);
  CHECK(!process->signal_group(SIGTERM));
  CHECK(!signal_group_of(process->pid(), 0));
}

TEST_CASE("the ended leader of a group that was not reaped can be signalled without harm") {
  auto process = spawn(shell_request("exit 0"));
  REQUIRE(process.ok());
  pollfd watched{process->exit_descriptor(), POLLIN, 0};
  REQUIRE(::poll(&watched, 1, -1) == 1);
  CHECK(process->has_ended());
  CHECK(process->signal_group(SIGTERM));
  CHECK(wait_for_exit(*process).code == 0);
}

TEST_CASE("a process that is dropped is killed with its group and leaves no zombie") {
  pid_t pid = -1;
  for (const bool pidfd : {true, false}) {
    {
      auto process = spawn({.args = {"sleep", "1000"}, .env = plain_env, .use_pidfd = pidfd});
      REQUIRE(process.ok());
      pid = process->pid();
    }
    CHECK(::waitpid(pid, nullptr, WNOHANG) == -1);
    CHECK(errno == ECHILD);
  }
}

TEST_CASE("input and output go through pipes, any byte unchanged") {
  auto in = open_pipe_to_child();
  auto out = open_pipe_from_child();
  REQUIRE(in.ok());
  REQUIRE(out.ok());
  auto process = spawn({.args = {"cat"}, .env = plain_env, .in = in->theirs.get(), .out = out->theirs.get()});
  REQUIRE(process.ok());
  in->theirs.reset();
  out->theirs.reset();
  const std::string bytes("a\0\xff\n", 4);
  REQUIRE(::write(in->ours.get(), bytes.data(), bytes.size()) == 4);
  in->ours.reset();
  CHECK(read_to_end(out->ours.get()) == bytes);
  CHECK(wait_for_exit(*process).code == 0);
}

TEST_CASE("our ends of the pipes do not block, the program's do") {
  auto in = open_pipe_to_child();
  auto out = open_pipe_from_child();
  REQUIRE(in.ok());
  REQUIRE(out.ok());
  CHECK((::fcntl(in->ours.get(), F_GETFL) & O_NONBLOCK) != 0);
  CHECK((::fcntl(out->ours.get(), F_GETFL) & O_NONBLOCK) != 0);
  CHECK((::fcntl(in->theirs.get(), F_GETFL) & O_NONBLOCK) == 0);
  CHECK((::fcntl(out->theirs.get(), F_GETFL) & O_NONBLOCK) == 0);
  for (const int end : {in->ours.get(), in->theirs.get(), out->ours.get(), out->theirs.get()}) {
    CHECK((::fcntl(end, F_GETFD) & FD_CLOEXEC) != 0);
  }
}

TEST_CASE("without descriptors a program reads nothing and its output is dropped") {
  CHECK(output_of(shell_request("cat; echo end")) == "end\n");
  auto process = spawn(shell_request("echo nowhere && echo nowhere >&2"));
  REQUIRE(process.ok());
  CHECK(wait_for_exit(*process).code == 0);
}

#if defined(__linux__)
TEST_CASE("a program inherits the three descriptors and nothing else") {
  const UniqueFd careless(::open("/dev/null", O_RDONLY));                 // without O_CLOEXEC, as a host program may
  CHECK(output_of(shell_request("ls /proc/self/fd")) == "0\n1\n2\n3\n");  // 3: what ls reads
}

TEST_CASE("a program begins with no signal blocked or ignored") {
  sigset_t blocked;
  sigset_t before;
  ::sigfillset(&blocked);
  ::pthread_sigmask(SIG_SETMASK, &blocked, &before);
  struct sigaction old {};
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGUSR1, &ignore, &old);
  const std::string masks = output_of(shell_request("sed -n -e 's/^SigBlk://p' -e 's/^SigIgn://p' /proc/self/status"));
  ::sigaction(SIGUSR1, &old, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  std::istringstream lines(masks);
  std::uint64_t blocked_mask = 1;
  std::uint64_t ignored_mask = 1;
  lines >> std::hex >> blocked_mask >> ignored_mask;
  constexpr std::uint64_t of_the_library = 3ULL << 31U;  // 32 and 33 are the C library's own
  CHECK(blocked_mask == 0);
  CHECK((ignored_mask & ~of_the_library) == 0);
}
#endif

TEST_CASE("descriptors of ours among the first three do not get in the way of the program's") {
  // In a child of our own: the test's standard descriptors must stay.
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::close(0);
    ::close(1);
    ::close(2);
    auto out = open_pipe_from_child();  // 0 and 1
    auto err = open_pipe_from_child();  // 2 and 3
    SpawnRequest request = shell_request("echo out; echo err >&2; cat");
    request.out = out->theirs.get();
    request.err = err->theirs.get();
    auto process = spawn(request);
    out->theirs.reset();
    err->theirs.reset();
    const bool right =
        process.ok() && read_to_end(out->ours.get()) == "out\n" && read_to_end(err->ours.get()) == "err\n";
    ::_exit(right ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE("a program starts in the directory that was given") {
  const Folder folder;
  SpawnRequest request = shell_request("pwd -P");
  request.cwd = folder.fd();
  CHECK(output_of(request) == std::filesystem::canonical(folder.path()).string() + "\n");
}

TEST_CASE("a program gets the environment that was given and nothing of ours") {
  SpawnRequest request{.args = {"env"}, .env = {"PATH=/usr/bin:/bin", "B=2", "A=x=y"}};
  CHECK(output_of(request) == "PATH=/usr/bin:/bin\nB=2\nA=x=y\n");
}

TEST_CASE("a name is looked up in the PATH of its own environment, relative entries in its own directory") {
  const Folder folder;
  folder.write("bin/tool", "#!/bin/sh\necho relative\n", 0755);
  folder.write("other/tool", "#!/bin/sh\necho other\n", 0755);
  folder.write("tool", "#!/bin/sh\necho here\n", 0755);
  folder.write("plain/tool", "#!/bin/sh\n", 0644);
  std::filesystem::create_directories(folder / "dir/tool");
  SpawnRequest request{.args = {"tool"}, .env = {"PATH=/nowhere:bin"}, .cwd = folder.fd()};
  CHECK(output_of(request) == "relative\n");
  request.env = {"PATH=" + folder / "other" + ":bin"};
  CHECK(output_of(request) == "other\n");
  request.env = {"PATH=:bin"};
  CHECK(output_of(request) == "here\n");
  request.env = {"PATH=plain:dir:bin"};
  CHECK(output_of(request) == "relative\n");
  request.args = {"bin/tool"};
  request.env = {};
  CHECK(output_of(request) == "relative\n");
  request.args = {"true"};
  CHECK(output_of(request).empty());
}

TEST_CASE("a program that is missing or cannot run fails with the system's own error, and says what it is") {
  const Folder folder;
  folder.write("plain", "#!/bin/sh\n", 0644);
  folder.write("garbage", "\x01\x02\x03", 0755);
  folder.write("orphan", "#!/no/such/interpreter\n", 0755);
  SpawnRequest request{.args = {"no-such-program"}, .env = plain_env, .cwd = folder.fd()};

  Failure failure = spawn_failure(request);
  CHECK(failure.code == Errc::os_error);
  CHECK(failure.os == ENOENT);
  CHECK(failure.message.find("program 'no-such-program'") != std::string::npos);

  request.args = {"./no-such-program"};
  CHECK(spawn_failure(request).os == ENOENT);
  request.args = {""};
  CHECK(spawn_failure(request).os == ENOENT);
  request.args = {"./plain"};
  CHECK(spawn_failure(request).os == EACCES);
  request.args = {"."};
  CHECK(spawn_failure(request).os == EACCES);
  request.args = {"./"};
  CHECK(spawn_failure(request).os == EACCES);
  request.args = {"./garbage"};
  CHECK(spawn_failure(request).os == ENOEXEC);
  request.args = {"plain/x"};
  CHECK(spawn_failure(request).os == ENOTDIR);
  request.args = {"./orphan"};
  failure = spawn_failure(request);
  CHECK(failure.os == ENOENT);
  CHECK(failure.message.find("interpreter") != std::string::npos);
  request.args = {"plain"};
  request.env = {"PATH=/nowhere:."};
  CHECK(spawn_failure(request).os == EACCES);
  CHECK(spawn(SpawnRequest{}).failure().code == Errc::invalid_argument);
}

TEST_CASE("a program that is busy, as a child of another thread holds it open, is tried again") {
  int tries = 0;
  bool has_started = false;
  const auto observer = [&](const test::WatchedCall&) { return ++tries < 3 ? ETXTBSY : 0; };
  if (!test::watch_calls(SYS_execve, observer,
                         [&] { has_started = spawn({.args = {"/bin/true"}, .env = plain_env}).ok(); }))
    return;
  CHECK(has_started);
  CHECK(tries == 3);
}

TEST_CASE("a program that stays busy fails with the system's own error") {
  int error = 0;
  const auto observer = [](const test::WatchedCall&) { return ETXTBSY; };
  const auto start = [&] {
    const auto program = spawn({.args = {"/bin/true"}, .env = plain_env});
    error = program ? 0 : program.failure().os;
  };
  if (test::watch_calls(SYS_execve, observer, start)) CHECK(error == ETXTBSY);
}

TEST_CASE("arguments that are too long for the system fail with E2BIG") {
  const Failure failure = spawn_failure({.args = {"true", Bytes(16 * 1024 * 1024, 'x')}, .env = plain_env});
  CHECK(failure.os == E2BIG);
  CHECK(failure.message.find("the arguments (16777238 bytes) do not fit") != std::string::npos);

  std::vector<Bytes> env = plain_env;
  for (int i = 0; i < 100; ++i) env.push_back("V" + std::to_string(i) + "=" + Bytes(100'000, 'x'));
  const Failure large_env = spawn_failure({.args = {"true"}, .env = env});
  CHECK(large_env.os == E2BIG);
  CHECK(large_env.message.find("the environment (") != std::string::npos);
}

TEST_CASE("a failed start leaves no child behind") {
  spawn_failure({.args = {"./no-such-program"}, .env = plain_env});
  siginfo_t zombie{};
  static_cast<void>(::waitid(P_ALL, 0, &zombie, WEXITED | WNOHANG | WNOWAIT));
  CHECK(zombie.si_pid == 0);
}

#if defined(__linux__)
namespace {

/// Whether this system tells the status of a process that was reaped already (Linux 6.15).
bool keeps_status_of_reaped() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(3);
  const UniqueFd held(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  int status = 0;
  ::waitpid(child, &status, 0);
  std::array<std::uint64_t, 8> info{1U << 3U};  // struct pidfd_info; PIDFD_INFO_EXIT
  return held && ::ioctl(held.get(), _IOWR(0xFF, 11, decltype(info)), &info) == 0 && (info[0] & (1U << 3U)) != 0;
}

}  // namespace

TEST_CASE("in a program that ignores SIGCHLD the status is there, or an error that names the cause") {
  struct sigaction before {};
  struct sigaction ignored {};
  ignored.sa_handler = SIG_IGN;
  ::sigaction(SIGCHLD, &ignored, &before);
  auto input = open_pipe_to_child();
  REQUIRE(input.ok());
  auto process = spawn({.args = {"sh", "-c", "read line; exit 3"}, .env = plain_env, .in = input->theirs.get()});
  REQUIRE(process.ok());
  input->theirs.reset();
  input->ours.reset();  // it ends now, not before we hold it: then its status is lost
  pollfd watched{process->exit_descriptor(), POLLIN, 0};
  while (::poll(&watched, 1, -1) < 0 && errno == EINTR) {
  }
  const auto status = process->reap();
  ::sigaction(SIGCHLD, &before, nullptr);
  CHECK(status.ok() == keeps_status_of_reaped());
  if (status.ok()) {
    REQUIRE(status->has_value());
    CHECK((*status)->code == 3);
  } else {
    CHECK(status.failure().message.find("ignores SIGCHLD") != std::string::npos);
  }
}
#endif

TEST_CASE("a program that was started is known as a child until it is reaped") {
  auto process = spawn({.args = {"sh", "-c", "exit 0"}, .env = plain_env});
  REQUIRE(process.ok());
  const pid_t pid = process->pid();
  CHECK(is_spawned_child(pid, 0));
  wait_for_exit(*process);
  CHECK(!is_spawned_child(pid, 0));
}

TEST_CASE("a program can begin a session of its own") {
  for (const bool wanted : {false, true}) {
    auto process = spawn({.args = {"sh", "-c", "read forever"}, .env = plain_env, .session = wanted});
    REQUIRE(process.ok());
    const pid_t session = ::getsid(process->pid());
    CHECK((session == process->pid()) == wanted);
    CHECK(::getpgid(process->pid()) == process->pid());
    wait_for_exit(*process);
  }
}

// --- settings

TEST_CASE("a program begins with the settings that were asked for") {
  for (const bool session : {false, true}) {
    SpawnRequest request = shell_request("nice; umask; ulimit -S -n; ulimit -H -n; ulimit -c; pwd -P; echo $LC_ALL");
    const Folder folder;
    request.cwd = folder.fd();
    request.session = session;
    request.settings.nice = 3;
    request.settings.umask = 027;
    request.settings.limits = {{.resource = RLIMIT_NOFILE, .limit = {.rlim_cur = 40, .rlim_max = 41}, .name = "nofile"},
                               {.resource = RLIMIT_CORE, .limit = {.rlim_cur = 0, .rlim_max = 0}, .name = "core"}};
    const int nice = std::min(::getpriority(PRIO_PROCESS, 0) + 3, 19);
    CHECK(output_of(std::move(request)) ==
          std::to_string(nice) + "\n0027\n40\n41\n0\n" + std::filesystem::canonical(folder.path()).string() + "\nC\n");
  }
}

TEST_CASE("a program with settings inherits the three descriptors and nothing else, and no signal") {
  const int inheritable = ::open("/dev/null", O_RDONLY);  // NOLINT: on purpose without O_CLOEXEC
  REQUIRE(inheritable >= 0);
  const UniqueFd owner(inheritable);
  sigset_t blocked;
  sigset_t before;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
  struct sigaction ignore {};
  struct sigaction old {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGUSR2, &ignore, &old);
  SpawnRequest request{.args = {"sh", "-c", "ls /proc/self/fd | wc -w; grep -E 'Sig(Blk|Ign)' /proc/self/status"},
                       .env = plain_env};
  request.settings.umask = 022;
  const std::string output = output_of(std::move(request));
  ::sigaction(SIGUSR2, &old, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  CHECK(output == "4\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");  // the fourth is that of ls
}

TEST_CASE("the signals of this thread are blocked only while a program with settings is started") {
  sigset_t before;
  sigset_t after;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &before);
  SpawnRequest request = shell_request("exit 0");
  request.settings.nice = 1;
  output_of(std::move(request));
  ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (int signal = 1; signal < NSIG; ++signal) CHECK(::sigismember(&before, signal) == ::sigismember(&after, signal));
}

TEST_CASE("a setting that cannot be made is named, with the system's error, and nothing runs") {
  const Folder folder;
  SpawnRequest request = shell_request("touch ran");
  request.cwd = folder.fd();
  request.settings.umask = 0;
  request.settings.limits = {{.resource = RLIMIT_CORE, .limit = {.rlim_cur = 0, .rlim_max = 0}, .name = "core"},
                             {.resource = RLIMIT_NOFILE, .limit = {.rlim_cur = 2, .rlim_max = 1}, .name = "nofile"}};
  const Failure failure = spawn_failure(request);
  CHECK(failure.os == EINVAL);
  CHECK(failure.message.find("'nofile'") != std::string::npos);
  CHECK_FALSE(folder.has("ran"));
  CHECK(::waitpid(-1, nullptr, WNOHANG) <= 0);  // its child was reaped
}

TEST_CASE("a program with settings that is missing or cannot run fails as one without") {
  const Folder folder;
  folder.write("text", "no program", 0755);
  folder.write("script", "#!/no/such/interpreter\n", 0755);
  for (const Bytes name : {"no-such-program", "./text", "./script", "./missing"}) {
    CAPTURE(name);
    SpawnRequest request{.args = {name}, .env = plain_env, .cwd = folder.fd()};
    const Failure expected = spawn_failure(request);
    request.settings.nice = 1;
    const Failure failure = spawn_failure(request);
    CHECK(failure.os == expected.os);
    CHECK(failure.message == expected.message);
  }
}

TEST_CASE("descriptors of ours among the first four do not get in the way of a program with settings") {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {  // has its own first descriptors
    for (int descriptor = 0; descriptor < 64; ++descriptor) ::close(descriptor);
    auto input = open_pipe_to_child();
    auto output = open_pipe_from_child();
    if (!input.ok() || !output.ok()) ::_exit(1);
    SpawnRequest request{.args = {"cat"}, .env = plain_env};
    request.in = input->theirs.get();
    request.out = output->theirs.get();
    request.settings.umask = 022;
    auto process = spawn(request);
    if (!process.ok()) ::_exit(2);
    input->theirs.reset();
    output->theirs.reset();
    if (::write(input->ours.get(), "hello", 5) != 5) ::_exit(3);
    input->ours.reset();
    const bool is_right = read_to_end(output->ours.get()) == "hello";
    static_cast<void>(wait_for_exit(*process));
    ::_exit(is_right ? 0 : 4);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
