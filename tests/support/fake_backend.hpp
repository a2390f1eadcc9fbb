// FakeBackend: a worker made of functions, for tests of the layers above it.
#pragma once

#include "master/blocking_backend.hpp"

#include <remsh/master/slave.hpp>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace remsh::test {

/// Each operation is a function that a test may set before it is called. An operation without a function succeeds and
/// does nothing:
///
///     backend.on<operations::Stat>([](const auto& request, const auto&, const auto&) { return Stat::Reply{...}; });
///
/// The connection lasts until lose() or disconnect(). As thread-safe as the functions are.
class FakeBackend : public BlockingBackend<> {
 public:
  AuditHook audit_hook;

  [[nodiscard]] const AuditHook* audit() const noexcept override { return audit_hook ? &audit_hook : nullptr; }

  /// Sets the function of an operation. It gets the request, the streams and the caller's patience.
  template <class Operation, class Function>
  requires std::is_convertible_v<
      std::invoke_result_t<Function&, const typename Operation::Request&, const StreamEnds&, const Patience&>,
      Result<typename Operation::Reply>>
  void on(Function function) {
    functions_[Operation::what.name] = [function = std::move(function)](
                                           AskedOperation& operation, const StreamEnds& ends,
                                           const Patience& options) mutable -> Result<void> {
      auto& asked = static_cast<Asked<Operation>&>(operation);
      Result<typename Operation::Reply> reply = function(std::as_const(asked.request), ends, options);
      if (!reply) return std::move(reply).failure();
      asked.reply = std::move(*reply);
      return {};
    };
  }

  Result<void> run(AskedOperation& operation, const StreamEnds& ends, const Patience& options) override {
    const auto function = functions_.find(operation.what().name);
    return function == functions_.end() ? Result<void>() : function->second(operation, ends, options);
  }

  /// From now on operations that end here go on at the worker, until answer().
  void go_on() {
    const std::lock_guard lock(mutex_);
    goes_on_ = true;
  }

  /// The worker ends the operations whose callers have left.
  void answer() {
    OperationsEnds ends;
    {
      const std::lock_guard lock(mutex_);
      goes_on_ = false;
      ends = std::move(ends_);
    }
    ends.note();
  }

  void end_connection(Failure why) override { lose(std::move(why)); }

  /// Ends the connection. The callbacks for the end run in this thread, after `between`.
  void lose(Failure failure, const std::function<void()>& between = {}) {
    {
      const std::lock_guard lock(mutex_);
      if (lost_) return;
      lost_ = std::move(failure);
    }
    if (between) between();
    answer();
    on_lost_.tell([](const std::function<void()>& function) { function(); });
  }

  /// The worker announces that it will end.
  void drain(const std::string& words) {
    {
      const std::lock_guard lock(mutex_);
      draining_ = words;
    }
    if (!on_lost_.tell_draining()) let_go_when_idle();
  }

  [[nodiscard]] std::optional<std::string> draining() const override {
    const std::lock_guard lock(mutex_);
    return draining_;
  }
  [[nodiscard]] bool is_draining() const override { return draining().has_value(); }

  [[nodiscard]] std::optional<Failure> lost() const override {
    const std::lock_guard lock(mutex_);
    return lost_;
  }

  void on_lost(std::unique_ptr<LostCallback> callback) override { on_lost_.add(std::move(callback)); }

 private:
  using Function = std::function<Result<void>(AskedOperation&, const StreamEnds&, const Patience&)>;

  void over(OperationsEnds ends) noexcept override {
    {
      const std::lock_guard lock(mutex_);
      if (goes_on_ && !lost_) return ends_.add(std::move(ends));
    }
    ends.note();
  }

  std::map<std::string_view, Function> functions_;
  mutable std::mutex mutex_;
  std::optional<Failure> lost_;
  std::optional<std::string> draining_;
  bool goes_on_ = false;
  OperationsEnds ends_;
  LostCallbacks on_lost_;
};

/// A slave with a FakeBackend.
struct FakeSlave {
  explicit FakeSlave(const std::string& name, const std::string& system = "linux")
      : slave(std::make_shared<Slave>(SlaveInit({.name = name, .system = system}, backend))) {}

  explicit FakeSlave(const SlaveInfo& info) : slave(std::make_shared<Slave>(SlaveInit(info, backend))) {}

  Slave* operator->() const { return slave.get(); }

  std::shared_ptr<FakeBackend> backend = std::make_shared<FakeBackend>();
  std::shared_ptr<Slave> slave;
};

}  // namespace remsh::test
