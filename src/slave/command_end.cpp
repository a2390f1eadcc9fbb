// How a command ends: signals, the end of its first process, what it leaves behind, and the answer.
#include "slave/command.hpp"

#include "base/format.hpp"
#include "base/secret_mask.hpp"
#include "base/signal_name.hpp"
#include "base/text.hpp"
#include "operations/execute_header.hpp"

#include <sys/ioctl.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace remsh {

using namespace std::chrono_literals;

namespace {

/// A process that still exists so long after SIGKILL cannot be killed.
constexpr Duration kill_patience = 10s;

/// A process that held the output, and ends within this time after the output has ended, is not in the background.
constexpr Duration settling = 100ms;

std::chrono::microseconds time_of(const timeval& time) {
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

ResourceUse resources(const rusage& used) {
  constexpr std::uint64_t unit = 1024;  // of ru_maxrss on Linux
  return {.user_time = time_of(used.ru_utime),
          .system_time = time_of(used.ru_stime),
          .peak_memory = static_cast<std::uint64_t>(used.ru_maxrss) * unit};
}

std::size_t bytes_in(int pipe) noexcept {
  int count = 0;
  return ::ioctl(pipe, FIONREAD, &count) == 0 ? static_cast<std::size_t>(std::max(count, 0)) : 0;
}

}  // namespace

void CommandSet::Command::leader_ended() {
  if (std::exchange(exited_, true)) return;
  ended_at_ = now();
  armed_[exit] = 0;
  for (auto* timer : {&timeout_, &silence_}) {
    if (*timer) shared_->loop->cancel(*std::exchange(*timer, std::nullopt));
  }
  for (Output& output : outputs_) {
    if (!output.pipe) continue;
    output.owed = bytes_in(output.pipe.get());
    read(output);
  }
  if (has_open_output()) grace_ = after(shared_->background_grace, &Command::on_grace_over);
}

void CommandSet::Command::on_grace_over() {
  grace_.reset();
  grace_over_ = true;
  for (Output& output : outputs_) close_if_at_end(output);
  settle();
}

/// Sends the stop signal, and later SIGKILL, to all processes of the command, including those that it left behind.
/// `why`: for the header; empty for a caller who does not listen any more.
void CommandSet::Command::end(Ending ending, const std::string& why) {
  ending_ = ending;
  if (ending == Ending::cancelled) {
    close(in, input_.pipe);
    for (Output& output : outputs_) read(output);  // output is dropped from now on, so that it can end
    if (logs_) {
      logs_->stop();
      if (!logs_patience_) logs_patience_ = after(farewell, &Command::give_up_logs);
    }
  }
  if (killing_) return hurry();
  kill_all(why);
}

void CommandSet::Command::kill_all(const std::string& why) {
  killing_ = true;
  if (request_.header && !why.empty()) {
    send_header(ending_line_of_header(why, signal_name(stop_signal_), SecretMask(request_.secrets)));
  }
  const bool hurries = is_to_hurry();
  const TimePoint kill_at = now() + (hurries ? std::min<Duration>(request_.kill_after, farewell) : request_.kill_after);
  shared_->killer->end({process_->pid(), name_, stop_signal_}, kill_at, kill_at + (hurries ? farewell : kill_patience),
                       posted(&Command::on_killed));
}

/// Shortens the end if the connection is lost or the set is being stopped: no caller waits for the command then, and
/// the slave must reconnect, or end, soon.
void CommandSet::Command::hurry() {
  if (!killing_ || !is_to_hurry()) return;
  const TimePoint kill_at = now() + std::min<Duration>(request_.kill_after, farewell);
  shared_->killer->hurry(name_, kill_at, kill_at + farewell);
}

void CommandSet::Command::on_killed(bool gone) {
  killing_ = false;
  if (gone) {
    leader_ended();
    left_ = false;
  } else {
    stuck_ = true;
    call_->fail({Errc::remote_failure, "the command could not be killed: processes of it go on running", 0});
  }
  settle();
}

/// Looks for processes that a command left when it ended by itself. False if the look takes longer.
bool CommandSet::Command::look_for_background() {
  looked_ = true;
  const bool is_held = has_open_output();
  if (!is_held && shared_->killer->has_left(name_)) return true;  // certainly nothing is left
  looking_ = true;
  const TimePoint settled = is_held ? now() : now() + settling;
  shared_->killer->find_left(name_, settled, posted(&Command::on_looked));
  return false;
}

void CommandSet::Command::on_looked(bool left) {
  looking_ = false;
  left_ = left;
  if (left && !request_.leaves && !killing_) {
    ended_left_ = true;
    kill_all("it has left processes behind");
  }
  settle();
}

bool CommandSet::Command::is_done() const {
  if (hook_thread_.joinable()) return false;
  if (stuck_) return true;
  if (!exited_ || killing_ || looking_) return false;
  if (ending_ == Ending::cancelled) return true;
  return std::all_of(outputs_.begin(), outputs_.end(), [this](const Output& output) {
    const bool is_read = !output.pipe || (grace_over_ && output.owed == 0);
    return is_read && output.cap.mark().empty();
  });
}

/// Whether everything was sent of the log files, which are read to their ends when the command has ended.
bool CommandSet::Command::are_logs_over() {
  if (!logs_ || are_logs_given_up_ || logs_->is_over()) return true;
  if (!stuck_ && ending_ != Ending::cancelled) {
    logs_->finish();
    return false;
  }
  logs_->stop();
  if (!logs_patience_) logs_patience_ = after(farewell, &Command::give_up_logs);
  return false;
}

void CommandSet::Command::on_logs_over(bool /*unused*/) { settle(); }

/// Nobody wants the log files any more, and their thread does not return.
void CommandSet::Command::give_up_logs() {
  logs_patience_.reset();
  if (!call_ || !logs_ || logs_->is_over()) return;
  const std::string text = formatted(
      "the log files of command {} cannot be read: going on without them. Does a disk or a network file system hang?",
      in_quotes(request_.args.front()));
  shared_->log.write(LogLevel::warning, "", SecretMask(request_.secrets).applied_to(text));
  logs_->abandon();
  are_logs_given_up_ = true;
  settle();
}

void CommandSet::Command::settle() {
  if (!call_) return;
  const bool has_ended = is_done() && (stuck_ || looked_ || ending_ == Ending::cancelled || look_for_background());
  const bool is_over = has_ended && are_logs_over();
  if (is_over && begin_hook_after()) return;
  if (is_over) {
    if (!stuck_) answer();
    release();
  } else if (std::exchange(unflushed_, false)) {
    call_->flush();
  }
}

/// Answers the call. That also writes what was sent before.
void CommandSet::Command::answer() {
  const Result<std::optional<ExitStatus>> status = process_->reap();
  if (ending_ == Ending::cancelled) {
    call_->fail({Errc::cancelled, "the command was stopped", 0});
  } else if (!status) {
    call_->fail(status.failure());
  } else if (!*status) {
    call_->fail({Errc::remote_failure, "the command has ended, but its exit status cannot be had", 0});
  } else {
    operations::Execute::Reply reply;
    reply.exit_code = (*status)->code;
    reply.signal = (*status)->signal;
    reply.core = (*status)->core_dumped;
    reply.timed_out = ending_ == Ending::timed_out;
    reply.silent = ending_ == Ending::silent;
    reply.interrupted = ending_ == Ending::interrupted;
    reply.background = left_ || is_output_held();
    reply.ended_background = ended_left_;
    reply.out_of_memory = group_ && group_->ran_out_of_memory();
    reply.out_of_processes = group_ && group_->ran_out_of_processes();
    const auto dropped = [](const Output& output) {
      return output.cap.dropped() > 0 ? std::optional(output.cap.dropped()) : std::nullopt;
    };
    reply.out_dropped = dropped(outputs_[0]);
    reply.err_dropped = dropped(outputs_[1]);
    reply.ran = std::chrono::duration_cast<std::chrono::microseconds>(ended_at_ - begun_at_);
    if ((*status)->used) reply.used = resources(*(*status)->used);
    reply.pid = static_cast<std::uint64_t>(process_->pid());
    reply.dir = directory_;
    if (logs_) logs_->report(reply);
    if (shared_->killer->knows(name_)) shared_->keep_background({name_, request_.kill_after, stop_signal_});
    call_->answer(operations::to_box(reply));
  }
}

void CommandSet::Command::release() {
  call_.reset();
  for (const auto& timer : {timeout_, silence_, grace_, logs_patience_}) {
    if (timer) shared_->loop->cancel(*timer);
  }
  for (Output& output : outputs_) close(source_of(output), output.pipe);
  close(in, input_.pipe);
  terminal_.reset();
  shared_->loop->watcher().forget(process_->exit_descriptor());
  shared_->loop->remove(slot_);
  if (stuck_) process_->abandon();
  shared_->remove(*this);
}

}  // namespace remsh
