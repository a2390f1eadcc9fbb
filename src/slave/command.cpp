// A command's start, and the events of its life.
#include "slave/command.hpp"

#include "base/format.hpp"
#include "base/seconds.hpp"
#include "operations/execute_header.hpp"
#include "os/file.hpp"
#include "slave/command_environment.hpp"
#include "slave/command_settings.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

namespace remsh {

using namespace std::chrono_literals;
using operations::OutputMode;

Result<void> CommandSet::Command::spawn_in(const Directory& directory) {
  const Result<int> stop_signal = stop_signal_of(request_);
  if (!stop_signal) return stop_signal.failure();
  stop_signal_ = *stop_signal;
  Result<SpawnSettings> settings = settings_of(request_);
  if (!settings) return std::move(settings).failure();
  if (auto grouped = make_group(*settings); !grouped) return grouped;

  SpawnRequest spawned;
  spawned.settings = std::move(*settings);
  spawned.args = request_.args;
  Result<std::optional<UserAccount>> user = user_of(request_, shared_->users);
  if (!user) return std::move(user).failure();
  if (*user) spawned.settings.user = {.uid = (*user)->uid, .gid = (*user)->gid, .groups = (*user)->groups};
  spawned.env =
      environment_of(*user ? environment_for(shared_->environment, **user) : shared_->environment, request_, name_);
  spawned.cwd = directory.descriptor();
  spawned.session = true;  // so that no process of it is in our session, where processes of others are

  std::array<UniqueFd, 3> theirs;
  Result<void> opened =
      request_.pty.empty() ? open_streams(spawned, theirs) : open_command_terminal(spawned, theirs[0]);
  if (!opened) return opened;

  if (auto started = start_logs(std::move(*user)); !started) return started;
  if (call_->cancelled()) return Failure{Errc::cancelled, "the command was stopped before it began", 0};
  shared_->killer->prepare();  // prepares everything for the end before the command exists
  shared_->killer->watch(name_);
  Result<Process> process = spawn(spawned);
  if (!process) {
    shared_->killer->forget(name_);
    return std::move(process).failure();
  }
  process_.emplace(std::move(*process));
  if (group_) group_->close_entrance();
  begun_at_ = wrote_at_ = now();
  shared_->killer->set_leader(name_, process_->pid());
  call_->set_process(process_->pid());
  return {};
}

/// Makes the control group, if the command is to have one.
Result<void> CommandSet::Command::make_group(SpawnSettings& settings) {
  const Result<ControlGroupLimits> limits = group_limits_of(request_);
  if (!limits) return limits.failure();
  if (limits->empty()) return {};
  const Result<ControlGroups> groups = ControlGroups::of_this_process();
  if (!groups) return groups.failure();
  Result<ControlGroup> group = groups->make(*limits);
  if (!group) return std::move(group).failure();
  group_.emplace(std::move(*group));
  settings.group = group_->entrance();
  return {};
}

/// Makes the pipes. `theirs` owns the ends of the command, which the request borrows.
Result<void> CommandSet::Command::open_streams(SpawnRequest& request, std::array<UniqueFd, 3>& theirs) {
  if (request_.in) {
    Result<ChildPipe> pipe = open_pipe_to_child();
    if (!pipe) return std::move(pipe).failure();
    input_.pipe = std::move(pipe->ours);
    theirs[0] = std::move(pipe->theirs);
  }
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    if ((i == 0 ? request_.out : request_.err) != OutputMode::stream) continue;
    Result<ChildPipe> pipe = open_pipe_from_child();
    if (!pipe) return std::move(pipe).failure();
    outputs_[i].pipe = std::move(pipe->ours);
    theirs[i + 1] = std::move(pipe->theirs);
  }
  request.in = theirs[0].get();
  request.out = theirs[1].get();
  request.err = request_.err == OutputMode::merge ? request.out : theirs[2].get();
  return {};
}

/// Makes the terminal. Our descriptors are all copies of one. That one is kept until the end, because the kernel hangs
/// up when the last is closed, which would kill a program that has closed its own and is about to exit.
Result<void> CommandSet::Command::open_command_terminal(SpawnRequest& request, UniqueFd& theirs) {
  const auto size = window_size(request_.pty);
  if (!size) return Failure{Errc::invalid_argument, "'pty' is not COLUMNSxROWS, both from 1 to 65535"};
  if (request_.out != OutputMode::stream || request_.err != OutputMode::discard) {
    return Failure{Errc::invalid_argument, "with 'pty', 'out' must be stream and 'err' absent"};
  }
  Result<ChildPipe> terminal = open_terminal(*size);
  if (!terminal) return std::move(terminal).failure();
  terminal_ = std::move(terminal->ours);
  for (UniqueFd* const copy : {&input_.pipe, &outputs_[0].pipe}) {
    copy->reset(::fcntl(terminal_.get(), F_DUPFD_CLOEXEC, 0));
    if (!*copy) return os_failure(errno, "a terminal");
  }
  if (!request_.in) input_.ending = end_of_typing(input_.pipe.get(), false);
  theirs = std::move(terminal->theirs);
  request.in = request.out = request.err = theirs.get();
  request.settings.terminal = true;
  return {};
}

void CommandSet::Command::start() {
  started_ = true;
  slot_ = shared_->loop->add(weak_from_this());
  if (request_.timeout > 0ms) timeout_ = after(request_.timeout, &Command::on_timeout);
  if (request_.silence > 0ms) silence_ = after(request_.silence, &Command::on_silence);
  call_->on_change([weak = weak_from_this()] {
    const std::shared_ptr<Command> self = weak.lock();
    if (!self || self->change_posted_.exchange(true)) return;  // several changes in a row are handled once
    self->shared_->loop->post([weak] {
      if (const auto command = weak.lock()) command->on_change();
    });
  });
  if (request_.header) {
    send_header(process_lines_of_header(directory_, static_cast<std::uint64_t>(process_->pid()), request_.user,
                                        SecretMask(request_.secrets)));
  }
  arm(exit, process_->exit_descriptor(), Ready::read);
  for (Output& output : outputs_) {
    if (output.pipe) arm(source_of(output), output.pipe.get(), Ready::read);
  }
  if (stopped_ || call_->cancelled()) {
    end(Ending::cancelled);
  } else {
    write_input();
    if (std::exchange(unflushed_, false)) call_->flush();
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

/// A callback for another thread: calls a function of this command on the loop, if the command still exists then.
std::function<void(bool)> CommandSet::Command::posted(void (Command::*what)(bool)) {
  return [weak = weak_from_this(), loop = shared_->loop, what](bool value) {
    loop->post([weak, what, value] {
      if (const auto self = weak.lock()) (*self.*what)(value);
    });
  };
}

void CommandSet::Command::on_ready(std::uint32_t number, Ready) {
  const auto source = static_cast<Source>(number & source_mask);
  if (armed_[source] != number) return;
  armed_[source] = 0;
  switch (source) {
    case out:
    case err:
      read(outputs_[source]);
      // The end often follows the output at once: then both leave in one write.
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
  if (logs_) logs_->wake();
  while (const auto request = call_->take_request()) serve(*request);
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
  end_for(Ending::timed_out, formatted("timed out after {}", in_seconds(request_.timeout)));
}

/// The timer is not moved at each piece of output: when it is due, the time since the last piece decides.
void CommandSet::Command::on_silence() {
  silence_.reset();
  const auto waits = [](const Output& output) { return output.waits_for_room; };
  if (std::any_of(outputs_.begin(), outputs_.end(), waits)) wrote_at_ = now();
  if (logs_) wrote_at_ = std::max(wrote_at_, logs_->heard_at());
  const Duration left = wrote_at_ + request_.silence - now();
  if (left <= Duration::zero()) {
    return end_for(Ending::silent, formatted("silent for {}", in_seconds(request_.silence)));
  }
  silence_ = after(left, &Command::on_silence);
}

void CommandSet::Command::end_for(Ending limit, const std::string& why) {
  if (exited_ || ending_ != Ending::by_itself) return;
  end(limit, why);
  settle();
}

}  // namespace remsh
