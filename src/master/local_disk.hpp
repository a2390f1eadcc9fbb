// LocalDisk: work on the disk of this host that a caller can leave while the disk hangs.
#pragma once

#include "base/patience.hpp"
#include "base/result.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <thread>

namespace remsh {

/// Steps of work on something on the disk. If the caller has a deadline or a stop token, a thread of its own does the
/// steps: it gets the data a few MiB ahead, and a caller that waits for it can leave with `timeout` or `cancelled`. A
/// thread that was left on a disk that hangs ends when the disk answers (docs/decisions/0021). One thread at a time.
class LocalDisk {
 public:
  using Step = std::function<Result<void>()>;

  /// `target`: what the steps work on. It is destroyed where the steps run, because that may hang too.
  LocalDisk(const Patience& patience, std::unique_ptr<void, void (*)(void*)> target);
  LocalDisk(const LocalDisk&) = delete;
  LocalDisk& operator=(const LocalDisk&) = delete;

  /// Destroys the target, or leaves that to the thread if the disk does not do it in time.
  ~LocalDisk();

  /// Fails if too many threads are stuck on a disk already.
  static Result<void> check();

  /// Whether the steps run on a thread of their own.
  [[nodiscard]] bool has_thread() const noexcept { return thread_.joinable(); }

  /// Runs a step, after all before it, and waits for its end. If the caller leaves, the step may be done all the same.
  Result<void> run(Step step);

  /// The same, but success may mean only that the step is queued, if not too many bytes wait. A later call reports its
  /// failure, and then no further step is run.
  Result<void> queue(Step step, std::size_t bytes);

 private:
  struct State;
  Result<void> add(Step step, std::size_t bytes, std::size_t ahead);

  const Patience patience_;
  std::shared_ptr<State> state_;
  std::thread thread_;  // not joinable: the caller's thread does the work
};

}  // namespace remsh
