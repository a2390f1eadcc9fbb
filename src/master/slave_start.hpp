// SlaveStart: a slave that is being started, until it has come or has failed.
#pragma once

#include "base/result.hpp"
#include "master/runtime.hpp"
#include "transport/loop.hpp"

#include <remsh/base/deadline.hpp>
#include <remsh/base/pending.hpp>
#include <remsh/master/slave.hpp>
#include <remsh/master/start_options.hpp>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace remsh {

/// A slave that is being started. The first outcome that is reported counts: the slave has come, or it will not. If it
/// will not, its program is ended first, on a service thread, and then the caller gets the failure. Until then no
/// thread waits. Thread-safe.
class SlaveStart : public std::enable_shared_from_this<SlaveStart> {
 public:
  /// What a SlaveStart needs of the object that starts the slave.
  struct Owner {
    Runtime& runtime;  ///< lives until on_over was called
    /// Ends the program and everything that it started, and completes the failure. Runs on a service thread; may block.
    std::function<Failure(Failure)> end_program;
    /// Called once, last of all: the start does not use the owner after that. Must not throw.
    std::function<void()> on_over;
  };

  /// `name` and `operation` are for error messages.
  SlaveStart(Owner owner, std::string name, std::string operation)
      : owner_(std::move(owner)), name_(std::move(name)), operation_(std::move(operation)) {}

  /// The slave is set up and in the collection.
  void come(std::shared_ptr<Slave> slave);

  /// The slave will not come.
  void fail(Failure failure);

  /// Fails at the deadline, with Timeout and these words. Call it first, if at all.
  void limit(Deadline deadline, std::string words);

  /// The Pending for the caller. Destroyed before the end, it ends the start.
  static Pending<std::shared_ptr<Slave>> pending(std::shared_ptr<SlaveStart> start, const std::stop_token& stop);

 private:
  class Work;
  enum class State : std::uint8_t { starting, ending, over };

  void finish(Result<std::shared_ptr<Slave>> outcome);

  Owner owner_;
  const std::string name_;
  const std::string operation_;

  std::mutex mutex_;
  std::condition_variable changed_;
  State state_ = State::starting;
  Result<std::shared_ptr<Slave>> outcome_ = std::shared_ptr<Slave>();
  Waker waker_;
  std::optional<Loop::TimerId> timer_;
};

}  // namespace remsh
