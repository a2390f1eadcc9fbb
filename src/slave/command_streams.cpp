// A command's streams: output from its pipes to the caller, input from the caller to its pipe.
#include "slave/command.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace remsh {

namespace {

/// How much of one stream is moved before the other streams get their turn.
constexpr std::size_t bytes_per_event = 256 * 1024;

/// Whether a pipe has no bytes and no writer.
bool is_at_end(int pipe) noexcept {
  pollfd state{pipe, POLLIN, 0};
  return ::poll(&state, 1, 0) == 1 && (state.revents & POLLIN) == 0 && (state.revents & (POLLHUP | POLLERR)) != 0;
}

}  // namespace

bool CommandSet::Command::has_open_output() const {
  return std::any_of(outputs_.begin(), outputs_.end(),
                     [](const Output& output) { return static_cast<bool>(output.pipe); });
}

void CommandSet::Command::close_if_at_end(Output& output) {
  if (output.pipe && is_at_end(output.pipe.get())) close(source_of(output), output.pipe);
}

/// Moves the content of the pipe to the caller, as far as there is room. The output of a cancelled command is dropped.
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
        // Not armed: on_change() continues. Closing at the end needs no room.
        output.waits_for_room = true;
        return close_if_at_end(output);
      }
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
    if (!is_dropped) {
      call_->send(output.name, std::move(*shared_->spare), count);
      shared_->spare.reset();
      unflushed_ = true;
    }
    if (count == Block::max_payload && !std::exchange(output.enlarged, true)) enlarge_pipe(output.pipe.get());
    if (count < wanted && !exited_) break;  // empty for now; a command that has ended is read to the end
  }
  if (armed_[source] == 0) arm(source, output.pipe.get(), Ready::read);
}

/// Moves input to the command. Input that it does not read is used up as well, so that the caller can send all of it.
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
      // The loop blocks all signals, SIGPIPE among them, so the only effect is EPIPE.
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

}  // namespace remsh
