// CommandOutput: the destination of one of a command's outputs on our side.
#pragma once

#include "master/asked_operation.hpp"
#include "master/request.hpp"
#include "os/unique_fd.hpp"

#include <remsh/operations/streams.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace remsh {

/// Keeps the first and the last bytes of its input, within a limit. One thread at a time.
class CutCapture {
 public:
  explicit CutCapture(std::size_t limit) : limit_(limit), head_limit_(limit - limit / 2) {}

  void add(BytesView bytes);

  /// How many bytes are missing in the middle.
  [[nodiscard]] std::uint64_t omitted() const noexcept { return total_ - head_.size() - tail_.size(); }

  /// Returns what was kept, with a mark in place of what is missing. Call it once.
  [[nodiscard]] Bytes take();

 private:
  std::size_t limit_;
  std::size_t head_limit_;
  std::uint64_t total_ = 0;
  Bytes head_;
  Bytes tail_;             // a ring once it is full
  std::size_t begin_ = 0;  // where the ring begins
};

/// The destination of one of a command's outputs on our side. `output`, `asked` and `request` must outlive it. One
/// thread at a time.
class CommandOutput {
 public:
  /// `stream` is "stdout", "stderr" or the name of a log file, which must outlive it; `asked` has the time of each
  /// piece. Throws if the destination cannot be opened.
  CommandOutput(const Output& output, std::string_view stream, const AskedOperation& asked, const Request& request);

  /// The callback for the stream; empty if the stream is not wanted here.
  [[nodiscard]] OutputCallback callback();

  /// The command has ended: passes what is held back to the caller.
  void finish();

  // What was captured. Call take() once.
  [[nodiscard]] std::uint64_t omitted() const noexcept { return capture_.omitted(); }
  [[nodiscard]] Bytes take() { return capture_.take(); }

 private:
  void write(int descriptor, BytesView bytes) const;
  void split(BytesView bytes);

  const Output& output_;
  const std::string_view stream_;
  const AskedOperation& asked_;
  const Request& request_;
  CutCapture capture_;
  UniqueFd file_;
  Bytes line_;  // the unfinished line
};

}  // namespace remsh
