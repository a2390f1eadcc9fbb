// Process: posix_spawn, waitid, and pidfd where there is one.
#include "os/process.hpp"

#include "base/text.hpp"
#include "os/descriptor_limit.hpp"
#include "os/file.hpp"
#include "os/process_table.hpp"
#include "os/threads.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/syscall.h>
#endif

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace remsh {

namespace {

/// The last of the pauses, in milliseconds, after which a program that is busy is tried again.
constexpr int longest_busy_pause = 512;

/// Room in a pipe that carries much: a quarter of what Linux lets everybody have.
constexpr int enlarged_pipe = 256 * 1024;

/// As execvp takes it where PATH is not set.
constexpr std::string_view default_path = "/bin:/usr/bin";

Failure program_failure(int error, const Bytes& name) { return os_failure(error, "program '" + escaped(name) + "'"); }

/// The file that a name without a slash means; kept relative where the entry of PATH is, as the child resolves it.
Result<Bytes> find_program(const SpawnRequest& request) {
  const Bytes& name = request.args.front();
  if (name.empty()) return program_failure(ENOENT, name);
  if (name.find('/') != Bytes::npos) return name;

  BytesView path = default_path;
  const auto variable = std::find_if(request.env.begin(), request.env.end(),
                                     [](const Bytes& entry) { return entry.starts_with("PATH="); });
  if (variable != request.env.end()) path = BytesView(*variable).substr(5);

  const int at = request.cwd < 0 ? AT_FDCWD : request.cwd;
  int error = ENOENT;
  for (;;) {
    const std::size_t colon = path.find(':');
    const BytesView entry = path.substr(0, colon);
    Bytes candidate = (entry.empty() ? Bytes(".") : Bytes(entry)) + '/' + name;
    struct stat status {};
    if (::fstatat(at, candidate.c_str(), &status, 0) == 0) {
      if (S_ISREG(status.st_mode) && ::faccessat(at, candidate.c_str(), X_OK, AT_EACCESS) == 0) return candidate;
      error = EACCES;  // something better may follow; else this is what to say
    } else if (errno == EACCES) {
      error = EACCES;
    }
    if (colon == BytesView::npos) return program_failure(error, name);
    path.remove_prefix(colon + 1);
  }
}

/// Arguments and environment have one limit; the longer of the two is named as what does not fit.
Failure too_long(const SpawnRequest& request) {
  const auto size = [](const std::vector<Bytes>& strings) {
    std::size_t bytes = 0;
    for (const Bytes& text : strings) bytes += text.size() + 1 + sizeof(char*);
    return bytes;
  };
  const std::string args = std::to_string(size(request.args));
  const std::string env = std::to_string(size(request.env));
  std::size_t longest = 0;
  for (const auto* strings : {&request.args, &request.env}) {
    for (const Bytes& text : *strings) longest = std::max(longest, text.size());
  }
  return os_failure(E2BIG,
                    "program '" + escaped(request.args.front()) + "': " +
                        (size(request.env) > size(request.args)
                             ? "the environment (" + env + " bytes) does not fit beside the arguments (" + args + ")"
                             : "the arguments (" + args + " bytes) do not fit beside the environment (" + env + ")") +
                        ", or a string of " + std::to_string(longest) +
                        " bytes is too long (Linux takes 131,071 in one, and most often 2 MiB in all)");
}

/// What a failed start is about: the system's number alone often points at the wrong thing.
Failure spawn_failure(int error, const SpawnRequest& request, const Bytes& path) {
  const Bytes& name = request.args.front();
  const int at = request.cwd < 0 ? AT_FDCWD : request.cwd;
  if (error == E2BIG) return too_long(request);
  if (error == ENOENT && ::faccessat(at, path.c_str(), F_OK, 0) == 0) {
    return os_failure(error, "the interpreter of program '" + escaped(name) + "'");
  }
  if (error == EACCES && ::faccessat(at, ".", X_OK, AT_EACCESS) != 0) return os_failure(error, "the working directory");
  return program_failure(error, name);
}

/// A descriptor that is not one of the three which the child's are put on.
Result<int> above_standard(int descriptor, UniqueFd& copy) {
  if (descriptor > STDERR_FILENO) return descriptor;
  copy.reset(::fcntl(descriptor, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  if (!copy) return os_failure(errno, "a descriptor for the program");
  return copy.get();
}

struct FileActions {
  FileActions() noexcept { ::posix_spawn_file_actions_init(&actions); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions); }
  posix_spawn_file_actions_t actions;
};

struct Attributes {
  Attributes() noexcept { ::posix_spawnattr_init(&attributes); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  ~Attributes() { ::posix_spawnattr_destroy(&attributes); }
  posix_spawnattr_t attributes;
};

std::vector<char*> pointers(const std::vector<Bytes>& strings) {
  std::vector<char*> result;
  result.reserve(strings.size() + 1);
  for (const Bytes& text : strings) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

/// The children that spawn() started and nobody has reaped. One for the process, as children are.
class SpawnedChildren {
 public:
  static SpawnedChildren& instance() {
    static SpawnedChildren children;
    return children;
  }

  /// A spawn that is under way; known_as() ends it.
  class Birth {
   public:
    explicit Birth(SpawnedChildren& children) : children_(children) {
      const std::lock_guard lock(children_.mutex_);
      at_ = children_.births_.insert(ticks_now());
    }
    Birth(const Birth&) = delete;
    Birth& operator=(const Birth&) = delete;
    ~Birth() {
      const std::lock_guard lock(children_.mutex_);
      children_.births_.erase(at_);
    }
    void known_as(pid_t pid) {
      const std::lock_guard lock(children_.mutex_);
      children_.pids_.insert(pid);
    }

   private:
    SpawnedChildren& children_;
    std::multiset<std::uint64_t>::iterator at_;
  };

  void remove(pid_t pid) noexcept {
    const std::lock_guard lock(mutex_);
    pids_.erase(pid);
  }

  bool may_contain(pid_t pid, std::uint64_t started) noexcept {
    const std::lock_guard lock(mutex_);
    return pids_.contains(pid) || (!births_.empty() && *births_.begin() <= started + 1);
  }

 private:
  std::mutex mutex_;
  std::set<pid_t> pids_;
  std::multiset<std::uint64_t> births_;  // in ticks
};

#if defined(__linux__)
/// The wait status of a process that was reaped already, by a pidfd that was opened before; nullopt if this system
/// does not keep it.
std::optional<int> status_by_pidfd(int pidfd) noexcept {
  struct Info {  // struct pidfd_info, which only new headers have
    std::uint64_t mask;
    std::uint64_t cgroup;
    std::array<std::uint32_t, 11> ids;
    std::int32_t exit_status;
  };
  static_assert(sizeof(Info) == 64);
  constexpr std::uint64_t wants_exit = 1U << 3U;
  Info info{};
  info.mask = wants_exit;
  if (::ioctl(pidfd, _IOWR(0xFF, 11, Info), &info) != 0 || (info.mask & wants_exit) == 0) return std::nullopt;
  return info.exit_status;
}
#endif

/// Why there is no status of a child.
Failure lost_status(int error) {
  struct sigaction action {};
  const bool is_dropped = ::sigaction(SIGCHLD, nullptr, &action) == 0 &&
                          (action.sa_handler == SIG_IGN || (action.sa_flags & SA_NOCLDWAIT) != 0);
  return os_failure(
      error, is_dropped ? "the exit status is lost, as the slave's program ignores SIGCHLD: it must not (SIG_DFL)"
                        : "the exit status was taken by another part of the slave's program");
}

ExitStatus exit_status_of(int status) {
  ExitStatus ended;
  if (WIFSIGNALED(status)) {
    ended.signal = WTERMSIG(status);
  } else {
    ended.code = WEXITSTATUS(status);
  }
  return ended;
}

enum class ChildState { running, ended, not_ours };

ChildState state_of(pid_t pid) noexcept {
  siginfo_t info{};
  int result = 0;
  do {
    result = ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT);
  } while (result != 0 && errno == EINTR);
  if (result != 0) return ChildState::not_ours;
  return info.si_pid == pid ? ChildState::ended : ChildState::running;
}

/// The read end first.
Result<std::array<UniqueFd, 2>> open_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return os_failure(errno, "pipe");
  return std::array<UniqueFd, 2>{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Result<ChildPipe> child_pipe(std::size_t our_end) {
  Result<std::array<UniqueFd, 2>> ends = open_pipe();
  if (!ends) return std::move(ends).failure();
  ChildPipe pipe{std::move((*ends)[our_end]), std::move((*ends)[1 - our_end])};
  if (::fcntl(pipe.ours.get(), F_SETFL, O_NONBLOCK) != 0) return os_failure(errno, "pipe");
  return pipe;
}

int try_to_spawn(pid_t& pid, const Bytes& path, const FileActions& files, const Attributes& how,
                 const std::vector<char*>& args, const std::vector<char*>& env) {
  SpawnedChildren::Birth birth(SpawnedChildren::instance());
  const int error = ::posix_spawn(&pid, path.c_str(), &files.actions, &how.attributes, args.data(), env.data());
  if (error == 0) birth.known_as(pid);
  return error;
}

/// Starts the program. One that was just written is busy (ETXTBSY) for as long as a child of another thread, which has
/// inherited the descriptor that it was written by, has not begun a program of its own: that is soon over.
int spawn_when_free(pid_t& pid, const Bytes& path, const FileActions& files, const Attributes& how,
                    const SpawnRequest& request) {
  const std::vector<char*> args = pointers(request.args);
  const std::vector<char*> env = pointers(request.env);
  for (int pause = 1;; pause *= 2) {
    const int error = try_to_spawn(pid, path, files, how, args, env);
    if (error != ETXTBSY || pause > longest_busy_pause) return error;
    ::poll(nullptr, 0, pause);
  }
}

}  // namespace

/// A thread that waits for the end of one child and then makes a descriptor readable.
class Process::ExitWaiter {
 public:
  ExitWaiter(pid_t pid, UniqueFd signalled) : signalled_(std::move(signalled)) {
    thread_ = start_thread("remsh-exit", [this, pid] { run(pid); });
  }
  ExitWaiter(const ExitWaiter&) = delete;
  ExitWaiter& operator=(const ExitWaiter&) = delete;
  ~ExitWaiter() {
    if (thread_.joinable()) thread_.join();
  }

 private:
  void run(pid_t pid) {
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
    }
    signalled_.reset();
  }

  UniqueFd signalled_;
  std::thread thread_;
};

Process::Process(pid_t pid) noexcept : pid_(pid) {}

Process::Process(Process&& other) noexcept
    : pid_(other.pid_),
      reaped_(std::exchange(other.reaped_, true)),
      exit_(std::move(other.exit_)),
      waiter_(std::move(other.waiter_)) {}

Process& Process::operator=(Process&& other) noexcept {
  if (this != &other) {
    end();
    pid_ = other.pid_;
    reaped_ = std::exchange(other.reaped_, true);
    exit_ = std::move(other.exit_);
    waiter_ = std::move(other.waiter_);
  }
  return *this;
}

Process::~Process() { end(); }

void Process::end() noexcept {
  if (reaped_) return;
  signal_group(SIGKILL);
  waiter_.reset();
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  SpawnedChildren::instance().remove(pid_);
  reaped_ = true;
}

void Process::abandon() noexcept {
  if (waiter_) static_cast<void>(waiter_.release());  // its thread waits as long as the process does not end
  SpawnedChildren::instance().remove(pid_);
  reaped_ = true;
}

Result<void> Process::watch_exit(bool use_pidfd) {
#if defined(__linux__) && defined(SYS_pidfd_open)
  if (use_pidfd) {
    exit_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));  // born with FD_CLOEXEC
    if (exit_) return {};
  }
#else
  static_cast<void>(use_pidfd);
#endif
  Result<std::array<UniqueFd, 2>> ends = open_pipe();
  if (!ends) return std::move(ends).failure();
  exit_ = std::move((*ends)[0]);
  try {
    waiter_ = std::make_unique<ExitWaiter>(pid_, std::move((*ends)[1]));
  } catch (const std::system_error& error) {
    return os_failure(error.code().value(), "a thread for the program");
  }
  return {};
}

bool Process::has_ended() const noexcept { return reaped_ || remsh::has_ended(pid_); }

bool Process::signal_group(int signal) noexcept { return !reaped_ && signal_group_of(pid_, signal); }

Result<std::optional<ExitStatus>> Process::reap() {
  int status = 0;
  rusage used{};
  pid_t result = 0;
  if (reaped_) return os_failure(ECHILD, "exit status");
  do {
    result = ::wait4(pid_, &status, WNOHANG, &used);
  } while (result < 0 && errno == EINTR);
  if (result == 0) return std::optional<ExitStatus>();
  const int error = errno;
  reaped_ = true;
  SpawnedChildren::instance().remove(pid_);
  const bool had_waiter = waiter_ != nullptr;
  waiter_.reset();
  if (result > 0) {
    ExitStatus ended = exit_status_of(status);
    ended.used = used;
    return std::optional(ended);
  }
#if defined(__linux__)
  if (!had_waiter) {
    if (const std::optional<int> kept = status_by_pidfd(exit_.get())) return std::optional(exit_status_of(*kept));
  }
#endif
  return lost_status(error);
}

Result<Process> spawn(const SpawnRequest& request) {
  if (request.args.empty()) return Failure{Errc::invalid_argument, "no program"};
  Result<Bytes> path = find_program(request);
  if (!path) return std::move(path).failure();

  UniqueFd null;
  if (request.in < 0 || request.out < 0 || request.err < 0) {
    null.reset(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!null) return os_failure(errno, "/dev/null");
  }

  FileActions files;
  int error = 0;
  if (request.cwd >= 0) error = ::posix_spawn_file_actions_addfchdir_np(&files.actions, request.cwd);
  const std::array<int, 3> wanted = {request.in, request.out, request.err};
  std::array<UniqueFd, 3> copies;
  for (std::size_t target = 0; target < wanted.size() && error == 0; ++target) {
    Result<int> source = above_standard(wanted[target] < 0 ? null.get() : wanted[target], copies[target]);
    if (!source) return std::move(source).failure();
    error = ::posix_spawn_file_actions_adddup2(&files.actions, *source, static_cast<int>(target));
  }
#if defined(__GLIBC_PREREQ)  // of glibc alone
#if __GLIBC_PREREQ(2, 34)
  // Ours are all close-on-exec; those that a careless host opened are not.
  if (error == 0) error = ::posix_spawn_file_actions_addclosefrom_np(&files.actions, STDERR_FILENO + 1);
#endif
#endif

  Attributes how;
  sigset_t none;
  sigset_t all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setpgroup(&how.attributes, 0);
  ::posix_spawnattr_setsigmask(&how.attributes, &none);
  ::posix_spawnattr_setsigdefault(&how.attributes, &all);
  const int place = request.session ? POSIX_SPAWN_SETSID : POSIX_SPAWN_SETPGROUP;  // a session brings its group
  ::posix_spawnattr_setflags(&how.attributes,
                             static_cast<short>(place | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));

  pid_t pid = -1;
  if (error == 0) error = spawn_when_free(pid, *path, files, how, request);
  if (error != 0) return spawn_failure(error, request, *path);
  restore_descriptor_limit(pid);

  Process process(pid);
  if (Result<void> watched = process.watch_exit(request.use_pidfd); !watched) return std::move(watched).failure();
  return process;
}

bool signal_group_of(pid_t leader, int signal) noexcept {
  return state_of(leader) != ChildState::not_ours && ::kill(-leader, signal) == 0;
}

bool has_ended(pid_t child) noexcept { return state_of(child) != ChildState::running; }

bool is_spawned_child(pid_t pid, std::uint64_t started) noexcept {
  return SpawnedChildren::instance().may_contain(pid, started);
}

Result<ChildPipe> open_pipe_from_child() { return child_pipe(0); }

Result<ChildPipe> open_pipe_to_child() { return child_pipe(1); }

void enlarge_pipe(int descriptor) noexcept {
#if defined(F_SETPIPE_SZ)
  static_cast<void>(::fcntl(descriptor, F_SETPIPE_SZ, enlarged_pipe));
#else
  static_cast<void>(descriptor);
#endif
}

}  // namespace remsh
