// BlockingBackend: a Backend whose operations block their thread.
#pragma once

#include "master/backend.hpp"
#include "master/running_operations.hpp"

#include <cstdint>
#include <memory>
#include <utility>

namespace remsh {

/// A back end that may hold a thread for each operation. Only for protocols that run one operation at a time (see
/// WorkerProtocol::does_one_operation_at_a_time()): the number of threads must not grow with the number of operations.
struct HoldsThreads {};

/// A Backend whose operations block the thread that calls them, which is the simplest kind to write. An operation that
/// a thread waits for runs in that thread. A started operation has a thread while it runs, and hands its callbacks to
/// the thread that drives it.
template <class Base = Backend>
class BlockingBackend : public Base, public HoldsThreads, protected RunningOperations {
 public:
  /// Runs an operation and stores its reply in it. `ends` are its streams, in a form that this thread may call.
  virtual Result<void> run(AskedOperation& operation, const StreamEnds& ends, const Patience& options) = 0;

  Started start(AskedOperation& operation, const Patience& options) final;
  [[nodiscard]] std::uint64_t next_operation() const final { return RunningOperations::next(); }
  void notify_when_over(std::unique_ptr<OperationsEnd> end) noexcept final { wait_for(std::move(end)); }
};

}  // namespace remsh
