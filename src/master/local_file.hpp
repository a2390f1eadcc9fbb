// LocalFile: a new file on this host, of which a caller can take leave while the disk hangs.
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

/// A NewFile. If the caller has a deadline or may stop, a thread of its own does what may hang: what is written is
/// handed to it, a few MiB ahead, and whoever waits for it leaves with `timeout` or `cancelled`. Left by a disk that
/// hangs, the thread ends when that does (docs/decisions/0021). One thread at a time.
class LocalFile {
 public:
  explicit LocalFile(const Patience& patience);
  LocalFile(const LocalFile&) = delete;
  LocalFile& operator=(const LocalFile&) = delete;

  /// Removes what was not committed, if the disk does that in time.
  ~LocalFile();

  Result<void> create(const Bytes& path, bool overwrite);

  /// Success means that it will be tried: a failure may also come from the next call.
  Result<void> write(BytesView bytes);

  /// If it is left while this is under way, the file may still get its name.
  Result<void> commit(mode_t mode, bool durable);

 private:
  struct State;
  using Step = std::function<Result<void>(State&)>;
  Result<void> run(Step step, std::size_t bytes, std::size_t ahead);

  const Patience patience_;
  std::shared_ptr<State> state_;
  std::thread thread_;  // none: the caller does it itself
};

}  // namespace remsh
