// spawn(): finds the program, prepares what the child inherits, and starts it: by posix_spawn(), or, if it has settings
// that posix_spawn() cannot make, by start_prepared_child().
#include "base/format.hpp"
#include "base/text.hpp"
#include "os/descriptor_limit.hpp"
#include "os/file.hpp"
#include "os/prepared_child.hpp"
#include "os/process.hpp"
#include "os/spawned_children.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <string_view>
#include <utility>

namespace remsh {

namespace {

/// The last of the pauses, in milliseconds, after which a busy program is tried again.
constexpr int longest_busy_pause = 512;

/// What execvp() uses if PATH is not set.
constexpr std::string_view default_path = "/bin:/usr/bin";

Failure program_failure(int error, const Bytes& name) { return os_failure(error, "program " + in_quotes(name)); }

/// The file that a name without a slash refers to. It is relative if the entry of PATH is: the child resolves it.
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
      error = EACCES;  // the error if there is no better candidate
    } else if (errno == EACCES) {
      error = EACCES;
    }
    if (colon == BytesView::npos) return program_failure(error, name);
    path.remove_prefix(colon + 1);
  }
}

/// Arguments and environment share one limit; the message names the longer of the two.
Failure too_long(const SpawnRequest& request) {
  const auto size = [](const std::vector<Bytes>& strings) {
    std::size_t bytes = 0;
    for (const Bytes& text : strings) bytes += text.size() + 1 + sizeof(char*);
    return bytes;
  };
  const std::size_t args = size(request.args);
  const std::size_t env = size(request.env);
  std::size_t longest = 0;
  for (const auto* strings : {&request.args, &request.env}) {
    for (const Bytes& text : *strings) longest = std::max(longest, text.size());
  }
  return os_failure(
      E2BIG,
      formatted("program {}: {}, or a string of {} bytes is too long (Linux takes 131,071 in one, and most "
                "often 2 MiB in all)",
                in_quotes(request.args.front()),
                env > args ? formatted("the environment ({} bytes) does not fit beside the arguments ({})", env, args)
                           : formatted("the arguments ({} bytes) do not fit beside the environment ({})", args, env),
                longest));
}

/// Describes a failed start, as the system's error alone can be about the program, its interpreter, or a directory.
Failure spawn_failure(int error, const SpawnRequest& request, const Bytes& path) {
  const Bytes& name = request.args.front();
  const int at = request.cwd < 0 ? AT_FDCWD : request.cwd;
  if (error == E2BIG) return too_long(request);
  if (error == ENOENT && ::faccessat(at, path.c_str(), F_OK, 0) == 0) {
    return os_failure(error, "the interpreter of program " + in_quotes(name));
  }
  if (error == EACCES && ::faccessat(at, ".", X_OK, AT_EACCESS) != 0) return os_failure(error, "the working directory");
  return program_failure(error, name);
}

/// Describes a failed start of a child with settings.
Failure preparation_failure(int error, const ChildFailure& failure, const SpawnRequest& request, const Bytes& path) {
  const SpawnSettings& settings = request.settings;
  switch (failure.step) {
    case ChildStep::descriptors: return os_failure(error, "the descriptors for the program");
    case ChildStep::group: return os_failure(error, "the control group of the program");
    case ChildStep::session: return os_failure(error, "a session for the program");
    case ChildStep::terminal: return os_failure(error, "a controlling terminal for the program");
    case ChildStep::nice: return os_failure(error, formatted("a niceness changed by {}", settings.nice.value_or(0)));
    case ChildStep::limit: return os_failure(error, formatted("the limit '{}'", settings.limits[failure.limit].name));
    case ChildStep::user: return os_failure(error, "the rights of another user");
    case ChildStep::directory: return os_failure(error, "the working directory");
    case ChildStep::program: break;
  }
  return spawn_failure(error, request, path);
}

/// A descriptor apart from the three numbers that the child's are put on; a copy if necessary.
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

/// Tries `start`, which returns 0 or an error, until the program is free. A program that was just written is busy
/// (ETXTBSY) while a child of another thread, which has inherited the descriptor for writing it, has not executed a
/// program of its own. That is soon over.
template <class Start>
int when_free(pid_t& pid, const Start& start) {
  for (int pause = 1;; pause *= 2) {
    int error = 0;
    {
      SpawnedChildren::Birth birth(SpawnedChildren::instance());
      if (!birth.is_allowed()) return ECANCELED;
      error = start();
      if (error == 0) birth.known_as(pid);
    }
    if (error != ETXTBSY || pause > longest_busy_pause) return error;
    ::poll(nullptr, 0, pause);
  }
}

/// Starts a child by posix_spawn(). `standard`: its standard descriptors. Returns 0 or an error.
int start_child(pid_t& pid, const SpawnRequest& request, const Bytes& path, const std::array<int, 3>& standard) {
  FileActions files;
  int error = 0;
  if (request.cwd >= 0) error = ::posix_spawn_file_actions_addfchdir_np(&files.actions, request.cwd);
  for (std::size_t target = 0; target < standard.size() && error == 0; ++target) {
    error = ::posix_spawn_file_actions_adddup2(&files.actions, standard[target], static_cast<int>(target));
  }
#if defined(__GLIBC_PREREQ)  // only in glibc
#if __GLIBC_PREREQ(2, 34)
  // All descriptors of remsh are close-on-exec; those of the host program may not be.
  if (error == 0) error = ::posix_spawn_file_actions_addclosefrom_np(&files.actions, STDERR_FILENO + 1);
#endif
#endif
  if (error != 0) return error;

  Attributes how;
  sigset_t none;
  sigset_t all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setpgroup(&how.attributes, 0);
  ::posix_spawnattr_setsigmask(&how.attributes, &none);
  ::posix_spawnattr_setsigdefault(&how.attributes, &all);
  const int place = request.session ? POSIX_SPAWN_SETSID : POSIX_SPAWN_SETPGROUP;  // a session comes with a group
  ::posix_spawnattr_setflags(&how.attributes,
                             static_cast<short>(place | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));

  const std::vector<char*> args = pointers(request.args);
  const std::vector<char*> env = pointers(request.env);
  return when_free(
      pid, [&] { return ::posix_spawn(&pid, path.c_str(), &files.actions, &how.attributes, args.data(), env.data()); });
}

/// The same for a child with settings.
int start_child(pid_t& pid, const SpawnRequest& request, const Bytes& path, const std::array<int, 3>& standard,
                ChildFailure& failure) {
  const std::vector<char*> args = pointers(request.args);
  const std::vector<char*> env = pointers(request.env);
  const ChildPlan plan{.path = path.c_str(),
                       .args = args.data(),
                       .env = env.data(),
                       .standard = standard,
                       .cwd = request.cwd,
                       .session = request.session,
                       .settings = &request.settings};
  return when_free(pid, [&] { return start_prepared_child(pid, plan, failure); });
}

}  // namespace

Result<Process> spawn(const SpawnRequest& request) {
  if (request.args.empty()) return Failure{Errc::invalid_argument, "no program"};
  Result<Bytes> path = find_program(request);
  if (!path) return std::move(path).failure();

  UniqueFd null;
  if (request.in < 0 || request.out < 0 || request.err < 0) {
    null.reset(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!null) return os_failure(errno, "/dev/null");
  }

  const std::array<int, 3> wanted = {request.in, request.out, request.err};
  std::array<int, 3> standard{};
  std::array<UniqueFd, 3> copies;
  for (std::size_t target = 0; target < wanted.size(); ++target) {
    Result<int> source = above_standard(wanted[target] < 0 ? null.get() : wanted[target], copies[target]);
    if (!source) return std::move(source).failure();
    standard[target] = *source;
    const auto& user = request.settings.user;
    if (user && wanted[target] >= 0) static_cast<void>(!::fchown(*source, user->uid, user->gid));
  }

  pid_t pid = -1;
  if (request.settings.empty()) {
    if (const int error = start_child(pid, request, *path, standard); error != 0) {
      return spawn_failure(error, request, *path);
    }
  } else {
    ChildFailure failure;
    if (const int error = start_child(pid, request, *path, standard, failure); error != 0) {
      return preparation_failure(error, failure, request, *path);
    }
  }
  const auto is_nofile = [](const LimitSetting& setting) { return setting.resource == RLIMIT_NOFILE; };
  if (std::none_of(request.settings.limits.begin(), request.settings.limits.end(), is_nofile)) {
    restore_descriptor_limit(pid);
  }

  Process process(pid);
  if (Result<void> watched = process.watch_exit(request.use_pidfd); !watched) return std::move(watched).failure();
  return process;
}

}  // namespace remsh
