// execute: a command's life, from the call to the answer. docs/protocol.md section 7.
#include "slave/execute.hpp"

#include "base/text.hpp"
#include "os/file.hpp"
#include "os/guard.hpp"
#include "os/process.hpp"
#include "os/process_tree.hpp"
#include "slave/add_operation.hpp"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

extern char** environ;

namespace remsh {

namespace {

using namespace std::chrono_literals;
using operations::Execute;
using operations::OutputMode;
using rpc::StreamName;

/// After so many bytes of one stream others get their turn.
constexpr std::size_t bytes_per_event = 256 * 1024;

/// From SIGKILL on: what is not gone then cannot be killed.
constexpr Duration kill_patience = 10s;

/// From the end of a command's output to the end of a process that held it, which is not left in the background then.
constexpr Duration settling = 100ms;

bool is_entry_of(BytesView entry, BytesView name) {
  return entry.starts_with(name) && entry.substr(name.size()).starts_with('=');
}

std::vector<Bytes> own_environment() {
  std::vector<Bytes> entries;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) entries.emplace_back(*entry);
  return entries;
}

/// What a command gets: ours, the changes that were asked for, and the name by which its processes are found.
std::vector<Bytes> environment_of(const std::vector<Bytes>& ours, const Execute::Request& request, const Bytes& name) {
  std::vector<Bytes> result;
  if (!request.clear_env) result = ours;
  if (!request.unset_env.empty() || !request.set_env.empty()) {
    std::map<Bytes, Bytes, std::less<>> entries;
    const auto set = [&entries](Bytes& entry) {
      Bytes variable = entry.substr(0, entry.find('='));
      entries.insert_or_assign(std::move(variable), std::move(entry));
    };
    for (Bytes& entry : result) set(entry);
    for (const Bytes& variable : request.unset_env) entries.erase(variable);
    for (Bytes entry : request.set_env) set(entry);
    result.clear();
    for (auto& [variable, entry] : entries) result.push_back(std::move(entry));
  }
  std::erase_if(result, [](const Bytes& entry) { return is_entry_of(entry, command_variable); });
  const Bytes guarded = guarded_name();
  result.push_back(guarded.empty() ? command_entry(ours, name) : command_entry({command_entry(ours, guarded)}, name));
  return result;
}

/// Whether a pipe has no bytes and nobody who could write any.
bool is_at_end(int pipe) noexcept {
  pollfd state{pipe, POLLIN, 0};
  return ::poll(&state, 1, 0) == 1 && (state.revents & POLLIN) == 0 && (state.revents & (POLLHUP | POLLERR)) != 0;
}

std::size_t bytes_in(int pipe) noexcept {
  int count = 0;
  return ::ioctl(pipe, FIONREAD, &count) == 0 ? static_cast<std::size_t>(std::max(count, 0)) : 0;
}

}  // namespace

/// What the commands have in common, and who they are.
struct CommandSet::Shared {
  Shared(std::shared_ptr<Loop> on, Duration grace)
      : loop(std::move(on)), background_grace(grace), environment(own_environment()) {}

  /// Trees of commands that are over which are being ended. Known to the killer's callbacks, which may outlive the set.
  struct Endings {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t count = 0;
  };

  /// False where no command may begin any more.
  bool add(const std::shared_ptr<Command>& command);
  void remove(const Command& command);

  /// A command is over, and processes of it may live on.
  void keep_background(const Bytes& name, Duration kill_after);
  void end_background(const Bytes& name, Duration kill_after);
  [[nodiscard]] bool is_stopping() const;

  const std::shared_ptr<Loop> loop;
  const Duration background_grace;
  const std::vector<Bytes> environment;
  const std::shared_ptr<TreeKiller> killer = TreeKiller::of_this_process();
  const std::shared_ptr<Endings> endings = std::make_shared<Endings>();
  std::optional<Block> spare;  // loop thread only: an empty block, so that a read without result allocates nothing

  mutable std::mutex mutex;  // guards what follows
  std::condition_variable changed;
  std::unordered_map<const Command*, std::shared_ptr<Command>> commands;
  struct Background {
    Bytes name;
    Duration kill_after;
  };
  std::vector<Background> background;
  bool stopping = false;
  bool is_given_up = false;  // stop() did not wait any longer
};

/// One command. Built on a server thread; from start() on everything happens on the loop.
class CommandSet::Command final : public Watched, public std::enable_shared_from_this<Command> {
 public:
  Command(std::shared_ptr<Shared> shared, std::shared_ptr<rpc::ServedCall> call, Execute::Request request)
      : shared_(std::move(shared)), call_(std::move(call)), request_(std::move(request)), name_(new_command_name()) {}

  /// On the server thread: pipes and process.
  Result<void> spawn_in(const Directory& directory);

  void start();

  /// Ends it as a cancel does; also before start().
  void stop();

  void on_ready(std::uint32_t number, Ready directions) override;

 private:
  /// What is watched; the low bits of an event's number.
  enum Source : std::uint32_t { out, err, in, exit, source_count };
  static constexpr std::uint32_t source_mask = 3;

  enum class Ending : std::uint8_t { by_itself, timed_out, cancelled };

  struct Output {
    StreamName name;
    UniqueFd pipe = UniqueFd();
    bool enlarged = false;
    bool waits_for_room = false;
    std::size_t owed = 0;  // of what lay in the pipe when the command ended, so much was not read yet
  };

  struct InputState {
    UniqueFd pipe;
    std::optional<rpc::Chunk> chunk;
    std::size_t written = 0;  // of the chunk
    bool ended = false;
  };

  void arm(Source source, int descriptor, Ready directions);
  void close(Source source, UniqueFd& descriptor);
  [[nodiscard]] TimePoint now() const { return shared_->loop->now(); }
  Loop::TimerId after(Duration wait, void (Command::*what)());
  [[nodiscard]] Source source_of(const Output& output) const { return output.name == StreamName::out ? out : err; }

  void on_change();
  void on_timeout();
  void on_grace_over();
  void on_killed(bool gone);
  void on_looked(bool left);

  void read(Output& output);
  void write_input();
  void leader_ended();
  void end(Ending ending);
  [[nodiscard]] bool is_to_hurry() const { return call_->lost() || shared_->is_stopping(); }
  void hurry();
  bool look_for_background();

  /// After every event: answers if all is done, else writes out what was sent.
  void settle();
  [[nodiscard]] bool is_done() const;
  void answer();
  void release();

  const std::shared_ptr<Shared> shared_;
  std::shared_ptr<rpc::ServedCall> call_;
  const Execute::Request request_;
  const Bytes name_;  // of the tree of processes
  std::optional<Process> process_;
  std::array<Output, 2> outputs_{Output{.name = StreamName::out}, Output{.name = StreamName::err}};
  InputState input_;

  std::uint32_t slot_ = 0;
  std::uint32_t armings_ = 0;
  std::array<std::uint32_t, source_count> armed_{};  // the number of the event that is waited for; 0: none
  std::optional<Loop::TimerId> timeout_;
  std::optional<Loop::TimerId> grace_;
  std::atomic<bool> change_posted_{false};

  bool started_ = false;
  bool stopped_ = false;  // before it was started
  Ending ending_ = Ending::by_itself;
  bool killing_ = false;
  bool looked_ = false;  // for what it leaves in the background
  bool looking_ = false;
  bool left_ = false;    // something lives on
  bool stuck_ = false;   // could not be killed; the call is failed
  bool exited_ = false;  // the leader; it is reaped at the very end, so that its group stays ours
  bool grace_over_ = false;
  bool unflushed_ = false;
};

bool CommandSet::Shared::add(const std::shared_ptr<Command>& command) {
  const std::lock_guard lock(mutex);
  if (stopping) return false;
  commands.emplace(command.get(), command);
  return true;
}

void CommandSet::Shared::remove(const Command& command) {
  std::shared_ptr<Command> last;  // destroyed without the lock
  const std::lock_guard lock(mutex);
  const auto entry = commands.find(&command);
  if (entry == commands.end()) return;
  last = std::move(entry->second);
  commands.erase(entry);
  changed.notify_all();
}

void CommandSet::Shared::keep_background(const Bytes& name, Duration kill_after) {
  std::unique_lock lock(mutex);
  if (stopping) {
    lock.unlock();
    return end_background(name, kill_after);
  }
  std::erase_if(background, [this](const Background& each) { return !killer->knows(each.name); });
  background.push_back({name, kill_after});
}

void CommandSet::Shared::end_background(const Bytes& name, Duration kill_after) {
  {
    const std::lock_guard lock(endings->mutex);
    ++endings->count;
  }
  const TimePoint kill_at = loop->now() + std::min(kill_after, farewell);
  killer->end({-1, name}, kill_at, kill_at + farewell, [endings = endings](bool) {
    const std::lock_guard lock(endings->mutex);
    --endings->count;
    endings->changed.notify_all();
  });
}

bool CommandSet::Shared::is_stopping() const {
  const std::lock_guard lock(mutex);
  return stopping;
}

Result<void> CommandSet::Command::spawn_in(const Directory& directory) {
  SpawnRequest spawned;
  spawned.args = request_.args;
  spawned.env = environment_of(shared_->environment, request_, name_);
  spawned.cwd = directory.descriptor();
  spawned.session = true;  // so that nothing of it can be in the session of this process, where others' children are

  UniqueFd in_end;
  std::array<UniqueFd, 2> out_ends;
  if (request_.in) {
    Result<ChildPipe> pipe = open_pipe_to_child();
    if (!pipe) return std::move(pipe).failure();
    input_.pipe = std::move(pipe->ours);
    in_end = std::move(pipe->theirs);
  }
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    if ((i == 0 ? request_.out : request_.err) != OutputMode::stream) continue;
    Result<ChildPipe> pipe = open_pipe_from_child();
    if (!pipe) return std::move(pipe).failure();
    outputs_[i].pipe = std::move(pipe->ours);
    out_ends[i] = std::move(pipe->theirs);
  }
  spawned.in = in_end.get();
  spawned.out = out_ends[0].get();
  spawned.err = request_.err == OutputMode::merge ? spawned.out : out_ends[1].get();

  if (call_->cancelled()) return Failure{Errc::cancelled, "the command was stopped before it began", 0};
  shared_->killer->prepare();  // what is needed to end it is there before it is
  shared_->killer->watch(name_);
  Result<Process> process = spawn(spawned);
  if (!process) {
    shared_->killer->forget(name_);
    return std::move(process).failure();
  }
  process_.emplace(std::move(*process));
  shared_->killer->set_leader(name_, process_->pid());
  return {};
}

void CommandSet::Command::start() {
  started_ = true;
  slot_ = shared_->loop->add(weak_from_this());
  if (request_.timeout > 0ms) timeout_ = after(request_.timeout, &Command::on_timeout);
  call_->on_change([weak = weak_from_this()] {
    const std::shared_ptr<Command> self = weak.lock();
    if (!self || self->change_posted_.exchange(true)) return;  // many changes in a row are one
    self->shared_->loop->post([weak] {
      if (const auto command = weak.lock()) command->on_change();
    });
  });
  arm(exit, process_->exit_descriptor(), Ready::read);
  for (Output& output : outputs_) {
    if (output.pipe) arm(source_of(output), output.pipe.get(), Ready::read);
  }
  if (stopped_ || call_->cancelled()) {
    end(Ending::cancelled);
  } else {
    write_input();
  }
}

void CommandSet::Command::stop() {
  if (!call_) return;  // over, or stuck
  if (!started_) {
    stopped_ = true;
  } else if (ending_ != Ending::cancelled) {
    end(Ending::cancelled);
    settle();
  } else {
    hurry();
  }
}

void CommandSet::Command::arm(Source source, int descriptor, Ready directions) {
  armed_[source] = ++armings_ << 2U | source;
  shared_->loop->watcher().watch(descriptor, directions, Loop::token(slot_, armed_[source]));
}

void CommandSet::Command::close(Source source, UniqueFd& descriptor) {
  if (!descriptor) return;
  shared_->loop->watcher().forget(descriptor.get());
  descriptor.reset();
  armed_[source] = 0;
}

Loop::TimerId CommandSet::Command::after(Duration wait, void (Command::*what)()) {
  return shared_->loop->at(now() + wait, [weak = weak_from_this(), what] {
    if (const auto self = weak.lock()) (*self.*what)();
  });
}

void CommandSet::Command::on_ready(std::uint32_t number, Ready) {
  const auto source = static_cast<Source>(number & source_mask);
  if (armed_[source] != number) return;
  armed_[source] = 0;
  switch (source) {
    case out:
    case err:
      read(outputs_[source]);
      // Often the end comes right behind the output: then both leave in one write.
      if (!exited_ && armed_[exit] != 0 && process_->has_ended()) leader_ended();
      break;
    case in: write_input(); break;
    case exit:
      if (process_->has_ended()) {
        leader_ended();
      } else {
        arm(exit, process_->exit_descriptor(), Ready::read);
      }
      break;
    case source_count: break;
  }
  settle();
}

void CommandSet::Command::on_change() {
  change_posted_.store(false);
  if (!call_) return;
  if (call_->cancelled()) {
    if (ending_ != Ending::cancelled) {
      end(Ending::cancelled);
    } else if (call_->lost()) {
      hurry();
    }
  } else {
    write_input();
    for (Output& output : outputs_) {
      if (std::exchange(output.waits_for_room, false)) read(output);
    }
  }
  settle();
}

void CommandSet::Command::on_timeout() {
  timeout_.reset();
  if (exited_ || ending_ != Ending::by_itself) return;
  end(Ending::timed_out);
  settle();
}

void CommandSet::Command::on_grace_over() {
  grace_.reset();
  grace_over_ = true;
  for (Output& output : outputs_) {
    if (output.pipe && is_at_end(output.pipe.get())) close(source_of(output), output.pipe);
  }
  settle();
}

/// Moves what is in the pipe to the caller, as far as there is room; nobody wants it of a cancelled command.
void CommandSet::Command::read(Output& output) {
  if (!output.pipe) return;
  const Source source = source_of(output);
  const bool is_dropped = ending_ == Ending::cancelled;
  std::size_t left = bytes_per_event;
  while (left > 0) {
    std::size_t wanted = Block::max_payload;
    if (!is_dropped) {
      wanted = std::min(wanted, call_->room(output.name));
      if (wanted == 0) {
        // Not armed: on_change() goes on. The end needs no room.
        output.waits_for_room = true;
        if (is_at_end(output.pipe.get())) close(source, output.pipe);
        return;
      }
    }
    if (!shared_->spare) shared_->spare.emplace();
    const ssize_t result = ::read(output.pipe.get(), shared_->spare->payload().data(), wanted);
    if (result < 0 && errno == EINTR) continue;
    if (result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (result <= 0) {
      close(source, output.pipe);
      return;
    }
    const auto count = static_cast<std::size_t>(result);
    output.owed -= std::min(output.owed, count);
    left -= std::min(left, count);
    if (!is_dropped) {
      call_->send(output.name, std::move(*shared_->spare), count);
      shared_->spare.reset();
      unflushed_ = true;
    }
    if (count == Block::max_payload && !std::exchange(output.enlarged, true)) enlarge_pipe(output.pipe.get());
    if (count < wanted && !exited_) break;  // empty now; after the end it is read until it says so
  }
  if (armed_[source] == 0) arm(source, output.pipe.get(), Ready::read);
}

/// Moves input to the command. What it does not read is used up as well: the caller may send it all.
void CommandSet::Command::write_input() {
  std::size_t left = bytes_per_event;
  while (!input_.ended) {
    if (!input_.chunk) {
      input_.chunk = call_->take();
      input_.written = 0;
      if (!input_.chunk) return;
      if (input_.chunk->last) {
        input_.ended = true;
        break;
      }
    }
    const BytesView bytes = input_.chunk->bytes();
    if (input_.pipe && input_.written < bytes.size()) {
      const BytesView rest = bytes.substr(input_.written);
      // SIGPIPE is blocked on the loop, as all signals are: EPIPE is all that comes of it.
      const ssize_t result = left == 0 ? -1 : ::write(input_.pipe.get(), rest.data(), rest.size());
      if (left == 0 || (result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))) {
        arm(in, input_.pipe.get(), Ready::write);
        return;
      }
      if (result >= 0) {
        input_.written += static_cast<std::size_t>(result);
        left -= std::min(left, static_cast<std::size_t>(result));
      } else if (errno != EINTR) {
        close(in, input_.pipe);
      }
      continue;
    }
    call_->consumed(*input_.chunk);
    input_.chunk.reset();
  }
  close(in, input_.pipe);
}

void CommandSet::Command::leader_ended() {
  if (std::exchange(exited_, true)) return;
  armed_[exit] = 0;
  if (timeout_) shared_->loop->cancel(*std::exchange(timeout_, std::nullopt));
  for (Output& output : outputs_) {
    if (!output.pipe) continue;
    output.owed = bytes_in(output.pipe.get());
    read(output);
  }
  const auto is_open = [](const Output& output) { return static_cast<bool>(output.pipe); };
  if (std::any_of(outputs_.begin(), outputs_.end(), is_open)) {
    grace_ = after(shared_->background_grace, &Command::on_grace_over);
  }
}

/// SIGTERM, later SIGKILL, for all of its processes, also those it left behind.
void CommandSet::Command::end(Ending ending) {
  ending_ = ending;
  if (ending == Ending::cancelled) {
    close(in, input_.pipe);
    for (Output& output : outputs_) read(output);  // dropped from now on, so that it can come to an end
  }
  if (std::exchange(killing_, true)) return hurry();
  const bool hurries = is_to_hurry();
  const TimePoint kill_at = now() + (hurries ? std::min<Duration>(request_.kill_after, farewell) : request_.kill_after);
  shared_->killer->end({process_->pid(), name_}, kill_at, kill_at + (hurries ? farewell : kill_patience),
                       [weak = weak_from_this(), loop = shared_->loop](bool gone) {
                         loop->post([weak, gone] {
                           if (const auto self = weak.lock()) self->on_killed(gone);
                         });
                       });
}

/// Once the connection is gone nobody waits for a long farewell, and the slave is to come back, or to end, soon.
void CommandSet::Command::hurry() {
  if (!killing_ || !is_to_hurry()) return;
  const TimePoint kill_at = now() + std::min<Duration>(request_.kill_after, farewell);
  shared_->killer->hurry(name_, kill_at, kill_at + farewell);
}

void CommandSet::Command::on_killed(bool gone) {
  killing_ = false;
  if (gone) {
    leader_ended();
  } else {
    stuck_ = true;
    call_->fail({Errc::remote_failure, "the command could not be killed: processes of it go on running", 0});
  }
  settle();
}

/// Looks for processes that live on after a command that ended by itself. False: the look is under way.
bool CommandSet::Command::look_for_background() {
  looked_ = true;
  const auto is_open = [](const Output& output) { return static_cast<bool>(output.pipe); };
  const bool is_held = std::any_of(outputs_.begin(), outputs_.end(), is_open);
  if (!is_held && shared_->killer->has_left(name_)) return true;  // it is certain that there is nothing
  looking_ = true;
  const TimePoint settled = is_held ? now() : now() + settling;
  shared_->killer->find_left(name_, settled, [weak = weak_from_this(), loop = shared_->loop](bool left) {
    loop->post([weak, left] {
      if (const auto self = weak.lock()) self->on_looked(left);
    });
  });
  return false;
}

void CommandSet::Command::on_looked(bool left) {
  looking_ = false;
  left_ = left;
  settle();
}

bool CommandSet::Command::is_done() const {
  if (stuck_) return true;
  if (!exited_ || killing_ || looking_) return false;
  if (ending_ == Ending::cancelled) return true;
  return std::all_of(outputs_.begin(), outputs_.end(),
                     [this](const Output& output) { return !output.pipe || (grace_over_ && output.owed == 0); });
}

void CommandSet::Command::settle() {
  if (!call_) return;
  const bool is_over = is_done() && (stuck_ || looked_ || ending_ == Ending::cancelled || look_for_background());
  if (is_over) {
    if (!stuck_) answer();
    release();
  } else if (std::exchange(unflushed_, false)) {
    call_->flush();
  }
}

/// Writes out what was sent before, too.
void CommandSet::Command::answer() {
  const Result<std::optional<ExitStatus>> status = process_->reap();
  if (ending_ == Ending::cancelled) {
    call_->fail({Errc::cancelled, "the command was stopped", 0});
  } else if (!status) {
    call_->fail(status.failure());
  } else if (!*status) {
    call_->fail({Errc::remote_failure, "the command has ended, but its exit status cannot be had", 0});
  } else {
    const auto is_open = [](const Output& output) { return static_cast<bool>(output.pipe); };
    Execute::Reply reply;
    reply.exit_code = (*status)->code;
    reply.signal = (*status)->signal;
    reply.timed_out = ending_ == Ending::timed_out;
    reply.background = left_ || std::any_of(outputs_.begin(), outputs_.end(), is_open);
    if (shared_->killer->knows(name_)) shared_->keep_background(name_, request_.kill_after);
    call_->answer(operations::to_box(reply));
  }
}

void CommandSet::Command::release() {
  call_.reset();
  if (timeout_) shared_->loop->cancel(*timeout_);
  if (grace_) shared_->loop->cancel(*grace_);
  for (Output& output : outputs_) close(source_of(output), output.pipe);
  close(in, input_.pipe);
  shared_->loop->watcher().forget(process_->exit_descriptor());
  shared_->loop->remove(slot_);
  if (stuck_) process_->abandon();
  shared_->remove(*this);
}

CommandSet::CommandSet(std::shared_ptr<Loop> loop, Duration background_grace)
    : shared_(std::make_shared<Shared>(std::move(loop), background_grace)) {}

CommandSet::~CommandSet() { stop(); }

void CommandSet::execute(Execute::Request request, const std::shared_ptr<rpc::ServedCall>& call,
                         const Workplace& workplace) {
  const std::shared_ptr<const Directory> current = workplace.current();
  std::optional<Directory> chosen;
  if (!request.cwd.empty()) {
    Result<Directory> directory = workplace.open_directory(request.cwd);
    if (!directory) {
      Failure failure = directory.failure();
      failure.message = "cwd '" + escaped(request.cwd) + "': " + failure.message;
      return call->fail(std::move(failure));
    }
    chosen.emplace(std::move(*directory));
  }

  const auto command = std::make_shared<Command>(shared_, call, std::move(request));
  if (!shared_->add(command)) return call->fail({Errc::cancelled, "the slave is being stopped", 0});
  try {
    Result<void> spawned = command->spawn_in(chosen ? *chosen : *current);
    if (spawned) {
      const std::lock_guard lock(shared_->mutex);
      if (!shared_->is_given_up) {
        shared_->loop->post([command] { command->start(); });
        return;
      }
    } else {
      call->fail(std::move(spawned).failure());
    }
  } catch (const std::system_error& error) {
    call->fail(os_failure(error.code().value(), "what is needed to end the command"));
  } catch (const std::exception& error) {
    call->fail({Errc::remote_failure, error.what(), 0});
  }
  shared_->remove(*command);
}

void CommandSet::begin_stop() {
  std::unique_lock lock(shared_->mutex);
  shared_->stopping = true;
  std::vector<std::shared_ptr<Command>> all;
  for (const auto& [key, command] : shared_->commands) all.push_back(command);
  const std::vector<Shared::Background> background = std::exchange(shared_->background, {});
  lock.unlock();
  for (const auto& command : all) shared_->loop->post([command] { command->stop(); });
  for (const auto& [name, kill_after] : background) shared_->end_background(name, kill_after);
}

bool CommandSet::is_over() const {
  {
    const std::lock_guard lock(shared_->mutex);
    if (!shared_->stopping || !shared_->commands.empty()) return false;
  }
  const std::lock_guard lock(shared_->endings->mutex);
  return shared_->endings->count == 0;
}

void CommandSet::stop() {
  begin_stop();
  {
    std::unique_lock lock(shared_->mutex);
    // A thread may hang in the file system before its command has begun: then nobody else can end that.
    const auto limit = shared_->loop->now() + 2 * farewell + std::chrono::seconds(2);
    if (!shared_->changed.wait_until(lock, limit, [this] { return shared_->commands.empty(); })) {
      shared_->is_given_up = true;
    }
  }
  std::unique_lock lock(shared_->endings->mutex);
  shared_->endings->changed.wait(lock, [this] { return shared_->endings->count == 0; });
}

std::size_t CommandSet::size() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->commands.size();
}

void add_execute(Dispatcher& dispatcher, std::shared_ptr<Workplace> workplace, std::shared_ptr<CommandSet> commands) {
  add_lasting_operation<Execute>(dispatcher,
                                 [workplace = std::move(workplace), commands = std::move(commands)](
                                     Execute::Request request, const std::shared_ptr<rpc::ServedCall>& call) {
                                   commands->execute(std::move(request), call, *workplace);
                                 });
}

}  // namespace remsh
