// The two forms of an operation: run and waited for, or started and returned as a Pending.
#pragma once

#include "master/slave_work.hpp"
#include "master/target.hpp"
#include "rpc/message.hpp"

#include <remsh/base/pending.hpp>
#include <remsh/master/slave.hpp>
#include <remsh/master/slave_operations.hpp>
#include <remsh/master/workspace.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <tuple>
#include <utility>

namespace remsh {

/// What the two forms need of the object that an operation is called on.
class OperationAccess {
 public:
  static Target target(const SlaveOperations& on) { return {*on.backend_, on.as_workspace()}; }

  static const std::shared_ptr<Backend>& backend(const SlaveOperations& on) { return on.backend_; }

  /// Keeps the object alive; null if a Slave is not owned by a shared_ptr.
  static std::shared_ptr<const void> owner(const SlaveOperations& on) {
    if (const Workspace* const workspace = on.as_workspace()) return workspace->shared_from_this();
    return static_cast<const Slave&>(on).weak_from_this().lock();
  }
};

/// Started work, with everything that it refers to.
template <class SomeWork, class... Args>
class Kept final : public detail::PendingWork<typename SomeWork::Outcome> {
 public:
  explicit Kept(const SlaveOperations& on, Args... args)
      : owner_(OperationAccess::owner(on)),
        backend_(OperationAccess::backend(on)),
        args_(std::move(args)...),
        work_(
            std::apply([&on](const Args&... kept) { return SomeWork(OperationAccess::target(on), kept...); }, args_)) {
    work_.suspend();
  }

  void suspend() override {}  // the constructor has done that
  bool poll(const Waker& wake) override { return work_.poll(wake); }
  bool wait_until(TimePoint until) override { return work_.wait_until(until); }
  void cancel() override { work_.cancel(); }
  typename SomeWork::Outcome take() override { return work_.take(); }

  [[nodiscard]] SomeWork& work() noexcept { return work_; }

 private:
  const std::shared_ptr<const void> owner_;  // the last handle of a slave ends the connection
  const std::shared_ptr<Backend> backend_;
  const std::tuple<Args...> args_;
  SomeWork work_;
};

template <class SomeWork, class... Args>
typename SomeWork::Outcome run_work(const SlaveOperations& on, const Args&... args) {
  return SomeWork(OperationAccess::target(on), args...).run();
}

template <class SomeWork, class... Args>
Pending<typename SomeWork::Outcome> start_work(const SlaveOperations& on, Args... args) {
  return Pending<typename SomeWork::Outcome>(std::make_unique<Kept<SomeWork, Args...>>(on, std::move(args)...));
}

/// The request to interrupt the operation with this number.
inline operations::Interrupt::Request interrupt_of(std::uint64_t command, Bytes why) {
  return {rpc::make_tag(command), std::move(why)};
}

/// The request to send a signal to the command with this number. A negative signal becomes one that is refused.
inline operations::Signal::Request signal_of(std::uint64_t command, int number) {
  return {rpc::make_tag(command), static_cast<std::uint64_t>(std::max(number, 0))};
}

// For operations without streams.

template <class Operation, class Options>
OutcomeOf<Operation> run(const SlaveOperations& on, typename Operation::Request request, const Options& options) {
  return PlainWork<Operation>(OperationAccess::target(on), std::move(request), options).run();
}

template <class Operation, class Options>
Pending<OutcomeOf<Operation>> start_plain(const SlaveOperations& on, typename Operation::Request request,
                                          Options options) {
  return start_work<PlainWork<Operation>>(on, std::move(request), std::move(options));
}

}  // namespace remsh
