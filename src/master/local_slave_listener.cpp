#include <remsh/master/local_slave_listener.hpp>

#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "master/listener_impl.hpp"
#include "master/slave_process.hpp"
#include "os/file.hpp"
#include "os/process_tree.hpp"
#include "os/unique_fd.hpp"

#include <remsh/base/error.hpp>
#include <remsh/transport/descriptors.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

namespace remsh {

/// The processes that we started and that were not reaped.
struct LocalSlaveListener::Local {
  SlaveCommand command;
  std::chrono::milliseconds kill_after{0};

  std::mutex mutex;
  std::condition_variable reaped;
  // Those whose end nobody waits for yet. By owner, not by address: another slave may get that.
  std::map<std::weak_ptr<Slave>, SlaveProcess, std::owner_less<>> children;
  std::set<std::weak_ptr<Slave>, std::owner_less<>> living;  // and all that are not reaped
  TreeKiller killer;
  unsigned count = 0;

  void collect(const std::weak_ptr<Slave>& slave);
};

/// Waits until the process of a slave whose connection has ended is gone, helps where it is not, and reaps it.
void LocalSlaveListener::Local::collect(const std::weak_ptr<Slave>& slave) {
  std::unique_lock lock(mutex);
  const auto found = children.find(slave);
  if (found == children.end()) return;
  auto child = children.extract(found);
  lock.unlock();
  if (!child.mapped().wait_for_end(kill_after)) child.mapped().terminate(killer, kill_after);
  child = {};
  lock.lock();
  living.erase(slave);
  reaped.notify_all();
}

LocalSlaveListener::LocalSlaveListener(LocalListenerOptions options)
    : SlaveListener(base_options(options)), local_(std::make_unique<Local>()) {
  local_->command = {std::move(options.command), options.embedded};
  check_slave_command(local_->command, "listen for local slaves");
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
  check_slave_name(name);
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    throw_failure(os_failure(errno, "socketpair"), name, what);
  }
  UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  auto child = SlaveProcess::start(local_->command, {"--stdio", "--quiet", "--basedir=" + basedir, "--name=" + name},
                                   theirs.get(), theirs.get(), STDERR_FILENO);
  if (!child) throw_failure(child.failure(), name, what);
  theirs.reset();
  const std::string description = "local process " + std::to_string(child->pid());
  std::shared_ptr<Slave> slave;
  try {
    std::promise<Result<std::shared_ptr<Slave>>> registered;
    auto result = registered.get_future();
    impl().admissions->admit(socket_transport(ours.release(), description, true), {.keyless = true, .name = name},
                             [&registered](auto outcome) { registered.set_value(std::move(outcome)); });
    auto outcome = result.get();
    if (!outcome) throw_failure(outcome.failure(), name, what);
    slave = *std::move(outcome);
  } catch (const Error& error) {
    // Most often it has ended: say how.
    if (!child->wait_for_end(local_->kill_after)) child->kill();
    child->wait_for_end(local_->kill_after);
    const bool has_registered = error.code() == Errc::in_use || error.code() == Errc::refused;
    const SlaveProcess::End end = child->take_end();
    const std::string more = has_registered ? "" : " (" + end.how + end.hint + ")";
    throw Error(error.code(), name, what, error.message() + more, error.os());
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
