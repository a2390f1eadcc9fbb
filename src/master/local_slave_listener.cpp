#include <remsh/master/local_slave_listener.hpp>

#include "base/format.hpp"
#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "master/backend.hpp"
#include "master/listener_impl.hpp"
#include "master/runtime.hpp"
#include "master/slave_process.hpp"
#include "master/slave_start.hpp"
#include "master/started_program.hpp"
#include "os/file.hpp"
#include "os/process.hpp"
#include "os/process_tree.hpp"
#include "os/unique_fd.hpp"

#include <remsh/base/error.hpp>
#include <remsh/transport/descriptors.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace remsh {

namespace {

/// At the end of a slave's connection, gives its program some time to end by itself. After that it may be reaped.
class ConnectionEnd final : public LostCallback {
 public:
  ConnectionEnd(std::shared_ptr<StartedProgram> program, std::chrono::milliseconds kill_after)
      : program_(std::move(program)), kill_after_(kill_after) {
    program_->hold();
  }
  ConnectionEnd(const ConnectionEnd&) = delete;
  ConnectionEnd& operator=(const ConnectionEnd&) = delete;
  ~ConnectionEnd() override { tell(); }

  void note(Leftovers&) noexcept override { tell(); }

 private:
  void tell() noexcept {
    if (!program_) return;
    program_->end_by(program_->now() + kill_after_);
    std::exchange(program_, nullptr)->release();
  }

  std::shared_ptr<StartedProgram> program_;
  const std::chrono::milliseconds kill_after_;
};

}  // namespace

/// The programs that were started and have not ended.
struct LocalSlaveListener::Local {
  struct Child {
    std::shared_ptr<StartedProgram> program;
    std::weak_ptr<Slave> slave = {};  // set once there is one; compared by owner, as another slave may get its address
  };

  SlaveCommand command;
  std::chrono::milliseconds kill_after{0};
  TreeKiller killer;

  std::mutex mutex;
  std::condition_variable changed;
  std::list<Child> children;
  int starting = 0;  // slaves that have neither come nor failed; the listener's destructor waits for them
  bool stopping = false;
  unsigned count = 0;

  std::string choose_name(SlaveCollection& slaves);
  Result<std::shared_ptr<StartedProgram>> start(const SlaveCommand& what, const std::string& basedir,
                                                const std::string& name, int socket,
                                                const std::shared_ptr<Admissions>& admissions);
  void has_slave(const std::shared_ptr<StartedProgram>& program, const std::shared_ptr<Slave>& slave, Backend& backend);
  Failure give_up(StartedProgram& program, bool has_come, Failure failure) const;
  void add_starting(int more);
  void end_all();
};

std::string LocalSlaveListener::Local::choose_name(SlaveCollection& slaves) {
  for (;;) {
    std::string name;
    {
      const std::lock_guard lock(mutex);
      name = formatted("local-{}", ++count);
    }
    if (!slaves.find(name)) return name;
  }
}

/// Starts the program, which uses this socket.
Result<std::shared_ptr<StartedProgram>> LocalSlaveListener::Local::start(
    const SlaveCommand& what, const std::string& basedir, const std::string& name, int socket,
    const std::shared_ptr<Admissions>& admissions) {
  auto output = open_pipe_from_child();
  if (!output) return of_this_system(std::move(output).failure());
  auto process = SlaveProcess::start(what, {"--stdio", "--quiet", "--basedir=" + basedir, "--name=" + name}, socket,
                                     socket, output->theirs.get());
  if (!process) return std::move(process).failure();
  auto program = std::make_shared<StartedProgram>(std::move(*process), std::move(output->ours));
  const auto log = [admissions, name](LogLevel level, const std::string& message) {
    admissions->log(level, name, message);
  };
  const std::lock_guard lock(mutex);  // the program cannot be found before it is watched
  if (stopping) return Failure{Errc::connection_lost, "the master shuts down", 0};
  children.push_back({program});
  program->watch({admissions->loop(), killer, log, {}, [this, raw = program.get()] {
                    const std::lock_guard held(mutex);
                    children.remove_if([raw](const Child& child) { return child.program.get() == raw; });
                    changed.notify_all();
                  }});
  return program;
}

/// From now on the slave object can kill the program, and the end of the connection ends it.
void LocalSlaveListener::Local::has_slave(const std::shared_ptr<StartedProgram>& program,
                                          const std::shared_ptr<Slave>& slave, Backend& backend) {
  {
    const std::lock_guard lock(mutex);
    for (Child& child : children) {
      if (child.program == program) child.slave = slave;
    }
  }
  backend.on_lost(std::make_unique<ConnectionEnd>(program, kill_after));
}

/// Ends a program that did not become a slave. Returns the failure, with what the program has to do with it.
/// `has_come`: it came as far as its setup().
Failure LocalSlaveListener::Local::give_up(StartedProgram& program, bool has_come, Failure failure) const {
  // Most often the program has ended, or does now that its connection is closed. The failure should say how.
  const bool is_given_up = failure.code == Errc::timeout || failure.code == Errc::cancelled;
  if (!is_given_up) program.wait_for_exit(program.now() + kill_after);
  const std::optional<Failure> exited = program.exited();
  const std::string words = program.words();
  program.end_by(program.now());
  program.wait_for_end();
  if (failure.code == Errc::in_use || failure.code == Errc::refused) return failure;  // its output says the same
  if (has_come || !exited) {
    failure.message += words;
  } else if (failure.code == Errc::connection_lost) {
    failure = *exited;
  } else {
    failure.message += " (" + exited->message + ")";
  }
  return failure;
}

void LocalSlaveListener::Local::add_starting(int more) {
  const std::lock_guard lock(mutex);
  starting += more;
  changed.notify_all();
}

void LocalSlaveListener::Local::end_all() {
  std::unique_lock lock(mutex);
  stopping = true;
  const std::list<Child> all = children;
  lock.unlock();
  for (const Child& child : all) {
    if (const auto slave = child.slave.lock()) slave->disconnect("the master shuts down");
    child.program->end_by(child.program->now() + kill_after);
  }
  lock.lock();
  changed.wait(lock, [this] { return children.empty(); });
}

LocalSlaveListener::LocalSlaveListener(LocalListenerOptions options)
    : SlaveListener(base_options(options)), local_(std::make_unique<Local>()) {
  local_->command = {std::move(options.command), options.embedded, std::move(options.env), options.clear_env,
                     options.inherit_env};
  check_slave_command(local_->command, "listen for local slaves");
  local_->kill_after =
      std::clamp<std::chrono::milliseconds>(options.kill_after, std::chrono::milliseconds(0), std::chrono::hours(24));
}

LocalSlaveListener::~LocalSlaveListener() {
  const auto runtime = impl().admissions->runtime();  // for the slaves that are being started, until all are over
  if (!runtime->loop()->is_this_thread()) local_->end_all();  // else shut_down() reports the misuse
  shut_down();
  std::unique_lock lock(local_->mutex);
  local_->changed.wait(lock, [this] { return local_->starting == 0; });
}

Pending<std::shared_ptr<Slave>> LocalSlaveListener::launch_slave(const std::string& basedir, StartOptions options) {
  const Deadline deadline = options.deadline.begin();
  const std::string name = options.name.empty() ? local_->choose_name(slave_collection()) : options.name;
  const std::string what = "start in " + in_quotes(basedir);
  const SlaveCommand command = command_for(local_->command, options, basedir, what);
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    throw_failure(of_this_system(os_failure(errno, "socketpair")), name, what);
  }
  UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  const auto& admissions = impl().admissions;
  const auto started = local_->start(command, basedir, name, theirs.get(), admissions);
  if (!started) throw_failure(started.failure(), name, what);
  const auto& program = *started;
  theirs.reset();

  Local& local = *local_;
  const auto has_come = std::make_shared<std::atomic<bool>>(false);
  local.add_starting(1);
  const auto start = std::make_shared<SlaveStart>(
      SlaveStart::Owner{
          .runtime = *admissions->runtime(),
          .end_program = [&local, program,
                          has_come](Failure failure) { return local.give_up(*program, *has_come, std::move(failure)); },
          .on_over = [&local] { local.add_starting(-1); }},
      name, what);
  start->limit(deadline, "it has not registered and been set up in time");
  const AdmissionTerms terms{
      .keyless = true,
      .name = name,
      .labels = std::move(options.labels),
      .on_made = [&local, program, has_come](const std::shared_ptr<Slave>& slave, Backend& backend) {
        *has_come = true;
        local.has_slave(program, slave, backend);
      }};
  const std::string description = formatted("local process {}", program->pid());
  admissions->admit(socket_transport(ours.release(), description, true), terms, [start](auto outcome) {
    if (!outcome) return start->fail(std::move(outcome).failure());
    start->come(*std::move(outcome));
  });
  return SlaveStart::pending(start, options.stop);
}

std::shared_ptr<Slave> LocalSlaveListener::start_slave(const std::string& basedir, const StartOptions& options) {
  return launch_slave(basedir, options).wait();
}

bool LocalSlaveListener::kill_slave(const std::shared_ptr<Slave>& slave) {
  if (!slave) return false;
  std::unique_lock lock(local_->mutex);
  const auto found =
      std::find_if(local_->children.begin(), local_->children.end(), [&slave](const Local::Child& child) {
        return !child.slave.owner_before(slave) && !slave.owner_before(child.slave);
      });
  if (found == local_->children.end()) return false;
  const auto program = found->program;
  lock.unlock();
  slave->disconnect("the slave was killed by its master", DisconnectReason::killed);
  program->end_by(program->now() + local_->kill_after);
  program->wait_for_end();
  return true;
}

}  // namespace remsh
