#include "master/started_program.hpp"

#include "base/errno_name.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

namespace remsh {

namespace {

/// How much is read of one program at a time, and the pause before the next read if there was that much: a program that
/// floods its output has to wait, not the io thread.
constexpr std::size_t read_at_once = 64 * 1024;
constexpr std::chrono::milliseconds pause_of_flood{10};

/// The error number of a message of remsh-slave that ends with, for example, "(ENOENT)"; 0 if it has none.
int errno_at_end_of(std::string_view sentence) {
  const std::size_t open = sentence.rfind('(');
  if (open == std::string_view::npos || !sentence.ends_with(')')) return 0;
  return errno_value(sentence.substr(open + 1, sentence.size() - open - 2));
}

/// The end of a program as a failure, for a caller that needed a slave.
Failure failure_of(const SlaveProcess::End& end, const std::string& last_lines) {
  Failure failure{Errc::connection_lost, end.how, 0};
  failure.message += last_lines.empty() ? end.hint : "; it said: " + last_lines;
  if (end.cannot_work_here) failure.os = errno_at_end_of(last_lines);
  if (failure.os != 0) failure.code = Errc::os_error;
  return failure;
}

}  // namespace

void StartedProgram::watch(Owner owner) {
  owner_.emplace(std::move(owner));
  const auto weak = weak_from_this();
  output_watch_.emplace(*owner_->loop, output_.get(), [weak](Ready) {
    if (const auto self = weak.lock()) self->on_output();
  });
  exit_watch_.emplace(*owner_->loop, process_.exit_descriptor(), [weak](Ready) {
    if (const auto self = weak.lock()) self->on_exit();
  });
  output_watch_->arm(Ready::read);
  exit_watch_->arm(Ready::read);
}

void StartedProgram::hold() {
  const std::lock_guard lock(mutex_);
  is_held_ = true;
}

void StartedProgram::release() {
  {
    const std::lock_guard lock(mutex_);
    is_held_ = false;
  }
  owner_->loop->post([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->settle();
  });
}

void StartedProgram::end_by(TimePoint when) {
  if (when <= now()) return kill(when);
  owner_->loop->at(when, [weak = weak_from_this(), when] {
    if (const auto self = weak.lock()) self->kill(when);
  });
}

bool StartedProgram::wait_for_exit(TimePoint until) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, until, [this] { return exited_.has_value(); });
}

void StartedProgram::wait_for_end() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return is_gone_; });
}

std::optional<Failure> StartedProgram::exited() const {
  const std::lock_guard lock(mutex_);
  return exited_;
}

std::string StartedProgram::words() const {
  const std::lock_guard lock(mutex_);
  return last_lines_.empty() ? "" : "; it said: " + last_lines_;
}

/// Ends the program and everything that it started. Called from any thread.
void StartedProgram::kill(TimePoint kill_at) {
  {
    const std::lock_guard lock(mutex_);
    if (is_over_) return;
    ++jobs_;
  }
  const TimePoint give_up_at = std::max(kill_at, now()) + kill_may_take;
  owner_->killer.end(process_.tree(), kill_at, give_up_at, [self = shared_from_this()](bool gone) {
    self->owner_->loop->post([self, gone] { self->on_killed(gone); });
  });
}

// --- on the loop

void StartedProgram::on_output() {
  if (!output_watch_ || !read_output()) return;
  output_watch_->arm(Ready::read);
}

/// Reads the available output into the log, up to a limit. False if the caller must not arm: the output has ended, or
/// there is so much that the rest is read later.
bool StartedProgram::read_output() {
  std::array<char, 8192> buffer{};
  std::size_t total = 0;
  bool has_ended = false;
  while (total < read_at_once) {
    const ssize_t count = ::read(output_.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    has_ended = count == 0 || (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
    if (count <= 0) break;
    total += static_cast<std::size_t>(count);
    lines_.feed(BytesView(buffer.data(), static_cast<std::size_t>(count)), now());
  }
  if (has_ended) lines_.finish(now());
  {
    const std::lock_guard lock(mutex_);
    last_lines_ = lines_.last_lines();
  }
  for (const std::string& message : lines_.take_messages()) owner_->log(LogLevel::info, message);
  if (total < read_at_once) return !has_ended;
  owner_->loop->at(now() + pause_of_flood, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->on_output();
  });
  return false;
}

void StartedProgram::on_exit() {
  if (exited()) return;  // it was given up before
  read_output();
  lines_.finish(now());
  end_ = process_.end();
  {
    const std::lock_guard lock(mutex_);
    last_lines_ = lines_.last_lines();
    exited_ = failure_of(end_, last_lines_);
    changed_.notify_all();
  }
  if (owner_->on_exit) owner_->on_exit();
  settle();
}

void StartedProgram::on_killed(bool gone) {
  bool is_stuck = false;
  {
    const std::lock_guard lock(mutex_);
    --jobs_;
    is_stuck = !gone && !exited_ && !process_.has_ended();
    if (is_stuck) exited_ = Failure{Errc::connection_lost, end_.how = "its process could not be ended", 0};
    changed_.notify_all();
  }
  leftovers_seen_to_ = true;
  if (!gone && !is_stuck) owner_->log(LogLevel::warning, "not all that its program started could be ended");
  if (is_stuck) {
    process_.abandon();
    if (owner_->on_exit) owner_->on_exit();
  }
  settle();
}

/// Reaps the program if nothing prevents that. If it did not end in order, first ends what it has left.
void StartedProgram::settle() {
  {
    const std::lock_guard lock(mutex_);
    if (is_over_ || !exited_ || is_held_ || jobs_ > 0) return;
    is_over_ = end_.is_orderly || leftovers_seen_to_;
    if (is_over_) process_.kill_group();
  }
  if (is_over_) {
    end();
  } else {
    kill(now() + leftovers_may_take);
  }
}

void StartedProgram::end() {
  if (!process_.reap()) process_.abandon();
  read_output();
  lines_.finish(now());
  for (const std::string& message : lines_.take_messages()) owner_->log(LogLevel::info, message);
  output_watch_.reset();
  exit_watch_.reset();
  output_.reset();
  if (owner_->on_end) owner_->on_end();
  owner_->log(LogLevel::info, end_.how);
  const std::lock_guard lock(mutex_);
  is_gone_ = true;
  changed_.notify_all();
}

}  // namespace remsh
