#include "master/command_output.hpp"

#include "base/format.hpp"
#include "os/file.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <variant>

namespace remsh {

namespace {

/// A longer line is delivered in pieces.
constexpr std::size_t max_line = std::size_t{1024} * 1024;

UniqueFd open_output(const Output::File& file) {
  const int how = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | (file.append ? O_APPEND : O_TRUNC);
  return UniqueFd(::open(file.path.c_str(), how, 0666));
}

}  // namespace

void CutCapture::add(BytesView bytes) {
  total_ += bytes.size();
  const std::size_t to_head = std::min(bytes.size(), head_limit_ - head_.size());
  head_.append(bytes.substr(0, to_head));
  bytes.remove_prefix(to_head);
  const std::size_t tail_limit = limit_ - head_limit_;
  if (bytes.size() > tail_limit) bytes.remove_prefix(bytes.size() - tail_limit);
  const std::size_t to_end = std::min(bytes.size(), tail_limit - tail_.size());
  tail_.append(bytes.substr(0, to_end));
  bytes.remove_prefix(to_end);
  while (!bytes.empty()) {  // overwrites the oldest
    const std::size_t count = std::min(bytes.size(), tail_.size() - begin_);
    std::copy_n(bytes.begin(), count, tail_.begin() + static_cast<std::ptrdiff_t>(begin_));
    begin_ = (begin_ + count) % tail_.size();
    bytes.remove_prefix(count);
  }
}

Bytes CutCapture::take() {
  Bytes all = std::move(head_);
  const std::uint64_t missing = total_ - all.size() - tail_.size();
  if (missing > 0) all += formatted("\n[remsh: {} bytes omitted]\n", missing);
  all.append(tail_, begin_).append(tail_, 0, begin_);
  return all;
}

CommandOutput::CommandOutput(const Output& output, std::string_view stream, const AskedOperation& asked,
                             const Request& request)
    : output_(output),
      stream_(stream),
      asked_(asked),
      request_(request),
      capture_(std::holds_alternative<Output::Capture>(output.what()) ? std::get<Output::Capture>(output.what()).limit
                                                                      : 0) {
  const auto* const lines = std::get_if<Output::Lines>(&output.what());
  const auto* const callback = std::get_if<OutputCallback>(&output.what());
  const auto* const timed = std::get_if<TimedOutputCallback>(&output.what());
  if ((lines != nullptr && !lines->callback) || (callback != nullptr && !*callback) || (timed != nullptr && !*timed)) {
    request.refuse(Errc::invalid_argument, formatted("the callback for {} is empty", stream));
  }
  if (const auto* const file = std::get_if<Output::File>(&output.what())) {
    file_ = open_output(*file);
    if (!file_) request.fail_locally(os_failure(errno, "open"), file->path);
  }
}

OutputCallback CommandOutput::callback() {
  struct Maker {
    CommandOutput& self;
    OutputCallback operator()(const Output::Capture&) const {
      return [&capture = self.capture_](BytesView bytes) { capture.add(bytes); };
    }
    OutputCallback operator()(const Output::Discard&) const { return {}; }
    OutputCallback operator()(const Output::Merge&) const { return {}; }
    OutputCallback operator()(const Output::File&) const {
      return [&self = self](BytesView bytes) { self.write(self.file_.get(), bytes); };
    }
    OutputCallback operator()(const Output::Descriptor& descriptor) const {
      return [&self = self, number = descriptor.number](BytesView bytes) { self.write(number, bytes); };
    }
    OutputCallback operator()(const Output::Lines&) const {
      return [&self = self](BytesView bytes) { self.split(bytes); };
    }
    OutputCallback operator()(const OutputCallback& callback) const {
      return [&callback](BytesView bytes) { callback(bytes); };
    }
    OutputCallback operator()(const TimedOutputCallback& callback) const {
      return
          [&callback, &asked = self.asked_](BytesView bytes) { callback(bytes, asked.piece_at.value_or(PieceTime())); };
    }
  };
  return std::visit(Maker{*this}, output_.what());
}

void CommandOutput::finish() {
  if (!line_.empty()) std::get<Output::Lines>(output_.what()).callback(std::exchange(line_, {}));
}

/// Writes all of the bytes, even to a non-blocking descriptor.
void CommandOutput::write(int descriptor, BytesView bytes) const {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor, bytes.data(), bytes.size());
    if (count >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN) {
      pollfd ready{descriptor, POLLOUT, 0};
      ::poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      const auto* const file = std::get_if<Output::File>(&output_.what());
      request_.fail_locally(os_failure(errno, "write"), file != nullptr ? file->path : formatted("for {}", stream_));
    }
  }
}

void CommandOutput::split(BytesView bytes) {
  const OutputCallback& callback = std::get<Output::Lines>(output_.what()).callback;
  while (!bytes.empty()) {
    const std::size_t newline = bytes.find('\n');
    const bool is_whole = newline != BytesView::npos;
    const std::size_t count = std::min(is_whole ? newline : bytes.size(), max_line - line_.size());
    if (line_.empty() && is_whole && count == newline) {
      callback(bytes.substr(0, count));  // most lines arrive whole
    } else {
      line_.append(bytes.substr(0, count));
      const bool ends = (is_whole && count == newline) || line_.size() == max_line;
      if (ends) callback(std::exchange(line_, {}));
    }
    bytes.remove_prefix(is_whole && count == newline ? count + 1 : count);
  }
}

}  // namespace remsh
