#include <remsh/master/local_slave_listener.hpp>

#include "auth/handshake.hpp"
#include "base/embedded_mark.hpp"
#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "master/listener_impl.hpp"
#include "os/file.hpp"
#include "os/process.hpp"
#include "os/process_tree.hpp"
#include "os/unique_fd.hpp"

#include <remsh/base/error.hpp>
#include <remsh/transport/descriptors.hpp>

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

extern char** environ;

namespace remsh {

namespace {

/// True where the process has ended before the time is over.
bool wait_for_end(const Process& process, std::chrono::milliseconds limit) {
  const TimePoint until = std::chrono::steady_clock::now() + limit;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    pollfd end{process.exit_descriptor(), POLLIN, 0};
    const int ready = ::poll(&end, 1, static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000)));
    if (ready > 0) return true;
    if (left.count() <= 0) return false;
  }
}

/// How the process of a slave that never came to be one ended, and what to do about it.
std::string ended_as(Process& process, bool embedded) {
  const auto status = process.reap();
  if (!status || !*status) return "how its process ended is not known";
  if ((*status)->signal) return "its process was killed by signal " + std::to_string(*(*status)->signal);
  const int code = (*status)->code.value_or(-1);
  std::string text = "its process ended with exit code " + std::to_string(code);
  constexpr int lowest_of_a_slave = 64;  // README has the table
  constexpr int highest_of_a_slave = 77;
  if (code >= lowest_of_a_slave && code <= highest_of_a_slave) return text + "; why, it said on stderr";
  return text + (embedded ? "; does main() begin with remsh::run_embedded_slave()?" : "; is it a remsh-slave?");
}

}  // namespace

/// The processes that we started and that were not reaped.
struct LocalSlaveListener::Local {
  std::vector<std::string> command;
  bool embedded = false;
  std::chrono::milliseconds kill_after{0};

  std::mutex mutex;
  std::condition_variable reaped;
  // Those whose end nobody waits for yet. By owner, not by address: another slave may get that.
  struct Child {
    Process process;
    Bytes name;  // by which its commands are known as well
  };
  std::map<std::weak_ptr<Slave>, Child, std::owner_less<>> children;
  std::set<std::weak_ptr<Slave>, std::owner_less<>> living;  // and all that are not reaped
  TreeKiller killer;
  unsigned count = 0;

  Result<Child> spawn_slave(const std::string& basedir, const std::string& name, int socket) const;
  void end(Child child);
  void collect(const std::weak_ptr<Slave>& slave);
};

Result<LocalSlaveListener::Local::Child> LocalSlaveListener::Local::spawn_slave(const std::string& basedir,
                                                                                const std::string& name,
                                                                                int socket) const {
  SpawnRequest request;
  if (embedded) {
    if (std::getenv(embedded_variable) != nullptr) {
      return Failure{Errc::invalid_argument,
                     "this process was itself started to be a slave: begin main() with remsh::run_embedded_slave()", 0};
    }
    request.args = {"/proc/self/exe", embedded_mark};
    request.env.push_back(std::string(embedded_variable) + "=1");
  } else {
    request.args = command.empty() ? std::vector<Bytes>{"remsh-slave"} : command;
  }
  for (const std::string& more :
       {std::string("--stdio"), std::string("--quiet"), "--basedir=" + basedir, "--name=" + name}) {
    request.args.push_back(more);
  }
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    request.env.emplace_back(*variable);
  }
  Bytes marker = new_command_name();
  Bytes entry = command_entry(request.env, marker);
  std::erase_if(request.env, [](const Bytes& other) { return other.starts_with(Bytes(command_variable) + "="); });
  request.env.push_back(std::move(entry));
  request.in = socket;
  request.out = socket;
  request.err = STDERR_FILENO;
  auto process = spawn(request);
  if (!process) return std::move(process).failure();
  return Child{std::move(*process), std::move(marker)};
}

/// Waits until a slave whose connection has ended is gone. One that stays is killed, with all that it started.
void LocalSlaveListener::Local::end(Child child) {
  if (wait_for_end(child.process, kill_after)) return;
  std::promise<void> over;
  const TimePoint now = std::chrono::steady_clock::now();
  killer.end({child.process.pid(), child.name}, now, now + kill_after, [&over](bool) { over.set_value(); });
  over.get_future().wait();
}

/// Waits until the process of a slave whose connection has ended is gone, helps where it is not, and reaps it.
void LocalSlaveListener::Local::collect(const std::weak_ptr<Slave>& slave) {
  std::unique_lock lock(mutex);
  const auto found = children.find(slave);
  if (found == children.end()) return;
  auto child = children.extract(found);
  lock.unlock();
  end(std::move(child.mapped()));
  lock.lock();
  living.erase(slave);
  reaped.notify_all();
}

LocalSlaveListener::LocalSlaveListener(LocalListenerOptions options)
    : SlaveListener(base_options(options)), local_(std::make_unique<Local>()) {
  if (options.embedded && !options.command.empty()) {
    throw Error(Errc::invalid_argument, "", "listen for local slaves", "`embedded` and `command` exclude each other");
  }
  local_->command = std::move(options.command);
  local_->embedded = options.embedded;
  local_->kill_after = options.kill_after;
}

LocalSlaveListener::~LocalSlaveListener() { shut_down(); }

std::shared_ptr<Slave> LocalSlaveListener::start_slave(const std::string& basedir, const std::string& given_name) {
  std::string name = given_name;
  if (name.empty()) {
    const std::lock_guard lock(local_->mutex);
    name = "local-" + std::to_string(++local_->count);
  }
  const std::string what = "start in '" + escaped(basedir) + "'";
  if (!auth::is_slave_name(name)) {
    throw Error(Errc::invalid_argument, "", "start '" + escaped(name) + "'",
                "a name is 1 to 64 of A-Z a-z 0-9 . _ - and begins with a letter or digit");
  }
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    throw_failure(os_failure(errno, "socketpair"), name, what);
  }
  UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  auto child = local_->spawn_slave(basedir, name, theirs.get());
  if (!child) {
    Failure failure = std::move(child).failure();
    if (failure.os != 0) failure.code = Errc::local_os_error;
    if (!local_->embedded && local_->command.empty()) {
      failure.message += "; install remsh-slave on the PATH, or give the listener a command or `embedded`";
    }
    throw_failure(failure, name, what);
  }
  theirs.reset();
  const std::string description = "local process " + std::to_string(child->process.pid());
  std::shared_ptr<Slave> slave;
  try {
    slave = handle_new_connection(socket_transport(ours.release(), description, true));
  } catch (const Error& error) {
    // Most often it has ended: say how.
    if (!wait_for_end(child->process, local_->kill_after)) child->process.signal_group(SIGKILL);
    wait_for_end(child->process, local_->kill_after);
    const bool has_registered = error.code() == Errc::in_use || error.code() == Errc::refused;
    const std::string end = has_registered ? "" : " (" + ended_as(child->process, local_->embedded) + ")";
    throw Error(error.code(), name, what, error.message() + end, error.os());
  }
  {
    const std::lock_guard lock(local_->mutex);
    local_->living.insert(slave);
    local_->children.emplace(slave, std::move(*child));
  }
  slave->on_disconnect([local = local_.get(), key = std::weak_ptr(slave)] { local->collect(key); });
  return slave;
}

bool LocalSlaveListener::kill_slave(const std::shared_ptr<Slave>& slave) {
  std::unique_lock lock(local_->mutex);
  if (!slave || !local_->living.contains(slave)) return false;
  lock.unlock();
  slave->disconnect("the slave was killed by its master");
  lock.lock();
  local_->reaped.wait(lock, [this, &slave] { return !local_->living.contains(slave); });
  return true;
}

}  // namespace remsh
