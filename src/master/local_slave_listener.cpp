#include <remsh/master/local_slave_listener.hpp>

#include "base/text.hpp"
#include "base/throw_failure.hpp"
#include "master/backend.hpp"
#include "master/listener_impl.hpp"
#include "master/slave_process.hpp"
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
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace remsh {

namespace {

/// Told of the end of a slave's connection: its program has some time left to end by itself, and may then be reaped.
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

/// The programs that were started and are not gone.
struct LocalSlaveListener::Local {
  struct Child {
    std::shared_ptr<StartedProgram> program;
    std::weak_ptr<Slave> slave = {};  // as soon as there is one; by owner, as another slave may get its address
  };

  /// Lives for as long as a call of start_slave(), which the destructor of the listener waits for.
  class Starting {
   public:
    explicit Starting(Local& local) : local_(local) { add(1); }
    Starting(const Starting&) = delete;
    Starting& operator=(const Starting&) = delete;
    ~Starting() { add(-1); }

   private:
    void add(int more) {
      const std::lock_guard lock(local_.mutex);
      local_.starting += more;
      local_.changed.notify_all();
    }
    Local& local_;
  };

  SlaveCommand command;
  std::chrono::milliseconds kill_after{0};
  TreeKiller killer;

  std::mutex mutex;
  std::condition_variable changed;
  std::list<Child> children;
  int starting = 0;
  bool stopping = false;
  unsigned count = 0;

  std::string choose_name(SlaveCollection& slaves);
  Result<std::shared_ptr<StartedProgram>> start(const std::string& basedir, const std::string& name, int socket,
                                                const std::shared_ptr<Admissions>& admissions);
  void has_slave(const std::shared_ptr<StartedProgram>& program, const std::shared_ptr<Slave>& slave, Backend& backend);
  Failure give_up(StartedProgram& program, bool has_come, Failure failure) const;
  void end_all();
};

std::string LocalSlaveListener::Local::choose_name(SlaveCollection& slaves) {
  for (;;) {
    std::string name;
    {
      const std::lock_guard lock(mutex);
      name = "local-" + std::to_string(++count);
    }
    if (!slaves.find(name)) return name;
  }
}

/// Starts the program, which speaks through this socket.
Result<std::shared_ptr<StartedProgram>> LocalSlaveListener::Local::start(
    const std::string& basedir, const std::string& name, int socket, const std::shared_ptr<Admissions>& admissions) {
  auto output = open_pipe_from_child();
  if (!output) return of_this_system(std::move(output).failure());
  auto process = SlaveProcess::start(command, {"--stdio", "--quiet", "--basedir=" + basedir, "--name=" + name}, socket,
                                     socket, output->theirs.get());
  if (!process) return std::move(process).failure();
  auto program = std::make_shared<StartedProgram>(std::move(*process), std::move(output->ours));
  const auto log = [admissions, name](LogLevel level, const std::string& message) {
    admissions->log(level, name, message);
  };
  const std::lock_guard lock(mutex);  // nobody finds it before it is watched
  if (stopping) return Failure{Errc::connection_lost, "the master shuts down", 0};
  children.push_back({program});
  program->watch({admissions->loop(), killer, kill_after, log, {}, [this, raw = program.get()] {
                    const std::lock_guard held(mutex);
                    children.remove_if([raw](const Child& child) { return child.program.get() == raw; });
                    changed.notify_all();
                  }});
  return program;
}

/// From now on it can be killed by its slave object, and the end of the connection ends it.
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

/// Ends a program that did not become a slave. The failure, with what the program has to do with it: `has_come`, it
/// was as far as its setup().
Failure LocalSlaveListener::Local::give_up(StartedProgram& program, bool has_come, Failure failure) const {
  // Most often it has ended, or does now that its connection is closed. How it ended belongs into the failure.
  if (failure.code != Errc::timeout) program.wait_for_exit(program.now() + kill_after);
  const std::optional<Failure> exited = program.exited();
  const std::string words = program.words();
  program.end_by(program.now());
  program.wait_for_end();
  if (failure.code == Errc::in_use || failure.code == Errc::refused) return failure;  // its own words repeat that
  if (has_come || !exited) {
    failure.message += words;
  } else if (failure.code == Errc::connection_lost) {
    failure = *exited;
  } else {
    failure.message += " (" + exited->message + ")";
  }
  return failure;
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
  if (!impl().admissions->loop()->is_this_thread()) local_->end_all();  // else what follows ends the program
  shut_down();
  std::unique_lock lock(local_->mutex);
  local_->changed.wait(lock, [this] { return local_->starting == 0; });
}

std::shared_ptr<Slave> LocalSlaveListener::start_slave(const std::string& basedir, const std::string& given_name) {
  if (!given_name.empty()) check_slave_name(given_name);
  const std::string name = given_name.empty() ? local_->choose_name(slave_collection()) : given_name;
  const std::string what = "start in '" + escaped(basedir) + "'";
  const Local::Starting starting(*local_);
  if (basedir.find('\0') != std::string::npos) {
    throw_failure({Errc::invalid_argument, "a path has no zero byte in it", 0}, name, what);
  }
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    throw_failure(of_this_system(os_failure(errno, "socketpair")), name, what);
  }
  UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  const auto& admissions = impl().admissions;
  const auto started = local_->start(basedir, name, theirs.get(), admissions);
  if (!started) throw_failure(started.failure(), name, what);
  const auto& program = *started;
  theirs.reset();
  std::promise<Result<std::shared_ptr<Slave>>> registered;
  bool has_come = false;
  const AdmissionTerms terms{
      .keyless = true, .name = name, .on_made = [&, this](const std::shared_ptr<Slave>& slave, Backend& backend) {
        has_come = true;
        local_->has_slave(program, slave, backend);
      }};
  const std::string description = "local process " + std::to_string(program->pid());
  admissions->admit(socket_transport(ours.release(), description, true), terms,
                    [&registered](auto outcome) { registered.set_value(std::move(outcome)); });
  auto outcome = registered.get_future().get();
  if (outcome) return *std::move(outcome);
  throw_failure(local_->give_up(*program, has_come, std::move(outcome).failure()), name, what);
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
