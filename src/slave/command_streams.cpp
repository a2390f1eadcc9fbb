// A command's streams: output from its pipes to the caller, input from the caller to its pipe.
#include "slave/command.hpp"

#include "os/file.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

namespace remsh {

namespace {

/// How much of one stream is moved before the other streams get their turn.
constexpr std::size_t bytes_per_event = 256 * 1024;

/// A pipe that we read.
struct PipeState {
  explicit PipeState(int pipe) noexcept {
    pollfd state{pipe, POLLIN, 0};
    if (::poll(&state, 1, 0) != 1) return;
    has_bytes = (state.revents & POLLIN) != 0;
    has_writer = (state.revents & (POLLHUP | POLLERR)) == 0;
  }
  bool has_bytes = false;
  bool has_writer = true;
};

}  // namespace

/// Starts to follow the log files. What they are now is what they are before the command.
Result<void> CommandSet::Command::start_logs(std::optional<UserAccount> user) {
  if (asked_logs_.empty()) return {};
  logs_.emplace(shared_->loop, call_, std::move(asked_logs_), request_, std::move(user));
  try {
    logs_->start(posted(&Command::on_logs_over));
  } catch (const std::system_error& error) {
    return os_failure(error.code().value(), "the thread for the log files");
  }
  return {};
}

bool CommandSet::Command::has_open_output() const {
  return std::any_of(outputs_.begin(), outputs_.end(),
                     [](const Output& output) { return static_cast<bool>(output.pipe); });
}

/// Whether a process holds an output open. What it has written may be unread all the same when it is gone.
bool CommandSet::Command::is_output_held() const {
  return std::any_of(outputs_.begin(), outputs_.end(),
                     [](const Output& output) { return output.pipe && PipeState(output.pipe.get()).has_writer; });
}

void CommandSet::Command::close_if_at_end(Output& output) {
  if (!output.pipe) return;
  const PipeState state(output.pipe.get());
  if (!state.has_bytes && !state.has_writer) close(source_of(output), output.pipe);
}

/// Moves the content of the pipe to the caller, as far as there is room. The output of a cancelled command is dropped.
void CommandSet::Command::read(Output& output) {
  const Source source = source_of(output);
  const bool is_dropped = ending_ == Ending::cancelled;
  std::size_t left = bytes_per_event;
  while (left > 0) {
    if (!is_dropped && !send_mark(output)) return wait_for_room(output);
    if (!output.pipe) return;
    std::size_t wanted = Block::max_payload;
    if (!is_dropped && !output.cap.is_closed()) {
      wanted = std::min(wanted, call_->room(output.name));
      if (wanted == 0) return wait_for_room(output);
    }
    if (!shared_->spare) shared_->spare.emplace();
    const ssize_t result = ::read(output.pipe.get(), shared_->spare->payload().data(), wanted);
    if (result < 0 && errno == EINTR) continue;
    if (result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (result <= 0) return close(source, output.pipe);
    const auto count = static_cast<std::size_t>(result);
    if (silence_) wrote_at_ = now();
    output.owed -= std::min(output.owed, count);
    left -= std::min(left, count);
    if (!is_dropped) send(output, count);
    if (count == Block::max_payload && !std::exchange(output.enlarged, true)) enlarge_pipe(output.pipe.get());
    if (count < wanted && !exited_) break;  // empty for now; a command that has ended is read to the end
  }
  if (armed_[source] == 0) arm(source, output.pipe.get(), Ready::read);
}

/// on_change() continues. The pipe is not armed, but its end needs no room.
void CommandSet::Command::wait_for_room(Output& output) {
  output.waits_for_room = true;
  close_if_at_end(output);
}

/// Sends the first bytes of the spare block, as far as the limits of the output allow.
void CommandSet::Command::send(Output& output, std::size_t count) {
  count = output.cap.admit({shared_->spare->payload().data(), count});
  if (count > 0) {
    call_->send(output.name, std::move(*shared_->spare), count, {.at = time_for_caller()});
    shared_->spare.reset();
    unflushed_ = true;
  }
  if (!send_mark(output)) output.waits_for_room = true;
}

/// Sends the line about dropped output, if there is one that was not sent. False if there is no room for all of it.
bool CommandSet::Command::send_mark(Output& output) {
  while (!output.cap.mark().empty()) {
    const BytesView mark = output.cap.mark();
    const std::size_t count = std::min(mark.size(), call_->room(output.name));
    if (count == 0) return false;
    Block line;
    std::copy_n(mark.begin(), count, line.payload().begin());
    call_->send(output.name, std::move(line), count, {.at = time_for_caller()});
    output.cap.mark_sent(count);
    unflushed_ = true;
  }
  return true;
}

/// Sends lines of the header. All of a command together are shorter than the credit that a stream has from the start,
/// so there is always room.
void CommandSet::Command::send_header(BytesView lines) {
  Block piece;
  const std::size_t count = std::min(lines.size(), piece.payload().size());
  std::copy_n(lines.begin(), count, piece.payload().begin());
  call_->send(rpc::StreamName::header, std::move(piece), count);
  unflushed_ = true;
}

/// The time of a piece of output that is sent now, if the caller wants to know.
std::optional<std::uint64_t> CommandSet::Command::time_for_caller() const {
  using namespace std::chrono;
  if (!request_.at) return std::nullopt;
  return static_cast<std::uint64_t>(duration_cast<microseconds>(system_clock::now().time_since_epoch()).count());
}

/// Writes as much of the bytes as the command takes now, and at most `left`. False if it will take the rest later: then
/// on_ready() continues. If it does not read any more, the rest is dropped.
bool CommandSet::Command::write_to_command(BytesView bytes, std::size_t& left) {
  while (input_.pipe && input_.written < bytes.size()) {
    const BytesView rest = bytes.substr(input_.written);
    // The loop blocks all signals, SIGPIPE among them, so the only effect is EPIPE.
    const ssize_t result = left == 0 ? -1 : ::write(input_.pipe.get(), rest.data(), rest.size());
    if (left == 0 || (result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))) {
      arm(in, input_.pipe.get(), Ready::write);
      return false;
    }
    if (result >= 0) {
      const auto count = static_cast<std::size_t>(result);
      input_.written += count;
      if (count > 0) input_.in_line = rest[count - 1] != '\n' && rest[count - 1] != '\r';
      left -= std::min(left, count);
    } else if (errno != EINTR) {
      close(in, input_.pipe);
    }
  }
  input_.written = 0;
  return true;
}

/// Moves input to the command. Input that it does not read is used up as well, so that the caller can send all of it.
void CommandSet::Command::write_input() {
  std::size_t left = bytes_per_event;
  while (!input_.ended) {
    if (!input_.chunk) input_.chunk = call_->take();
    if (!input_.chunk) break;
    if (input_.chunk->last) {
      input_.ended = true;
      if (terminal_) input_.ending = end_of_typing(terminal_.get(), input_.in_line);
      break;
    }
    if (!write_to_command(input_.chunk->bytes(), left)) return;
    call_->consumed(*input_.chunk);
    input_.chunk.reset();
  }
  if (!input_.ending.empty()) {
    if (!write_to_command(input_.ending, left)) return;
    input_.ending.clear();
  }
  if (input_.ended) close(in, input_.pipe);
}

}  // namespace remsh
