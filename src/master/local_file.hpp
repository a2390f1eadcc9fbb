// LocalFile: a new file on this host that a caller can leave while the disk hangs.
#pragma once

#include "base/patience.hpp"
#include "base/result.hpp"
#include "os/new_file.hpp"

#include <remsh/base/bytes.hpp>

#include <sys/types.h>

#include <functional>
#include <memory>
#include <thread>

namespace remsh {

/// A NewFile. If the caller has a deadline or a stop token, a thread of its own does what may hang: it gets the data a
/// few MiB ahead, and a caller that waits for it can leave with `timeout` or `cancelled`. A thread that was left on a
/// disk that hangs ends when the disk answers (docs/decisions/0021). One thread at a time.
class LocalFile {
 public:
  explicit LocalFile(const Patience& patience);
  LocalFile(const LocalFile&) = delete;
  LocalFile& operator=(const LocalFile&) = delete;

  /// Removes a file that was not committed, if the disk does that in time.
  ~LocalFile();

  Result<void> create(const Bytes& path, bool overwrite);

  /// Success may mean only that the bytes are queued: a later call may report that they could not be written.
  Result<void> write(BytesView bytes);

  /// If the caller leaves during this call, the file may still get its name.
  Result<void> commit(mode_t mode, bool durable);

 private:
  struct State;
  using Step = std::function<Result<void>(State&)>;
  Result<void> run(Step step, std::size_t bytes, std::size_t ahead);

  const Patience patience_;
  std::shared_ptr<State> state_;
  std::thread thread_;  // not joinable: the caller's thread does the work
};

}  // namespace remsh
