// SteppedOperation: an operation that moves much data, and holds no thread while it waits for its caller.
#pragma once

#include "rpc/served_call.hpp"
#include "slave/dispatcher.hpp"

#include <memory>
#include <utility>

namespace remsh {

/// An operation that moves data in steps. Each step runs on a worker and moves as much as it can; between two steps the
/// operation holds no thread. Create it with std::make_shared. It lives until its call is answered.
class SteppedOperation : public std::enable_shared_from_this<SteppedOperation> {
 public:
  virtual ~SteppedOperation() = default;
  SteppedOperation(const SteppedOperation&) = delete;
  SteppedOperation& operator=(const SteppedOperation&) = delete;

  void start() {
    call_->run_on_change([self = shared_from_this()] { run_guarded(*self->call_, [&] { self->step(); }); });
  }

 protected:
  explicit SteppedOperation(std::shared_ptr<rpc::ServedCall> call) : call_(std::move(call)) {}

  /// Moves pieces until there is no room or no input, or answers the call.
  virtual void step() = 0;

  [[nodiscard]] rpc::ServedCall& call() const noexcept { return *call_; }

 private:
  const std::shared_ptr<rpc::ServedCall> call_;
};

}  // namespace remsh
