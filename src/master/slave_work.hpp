// The operations of a slave, each as Work: the checks before it, its callbacks, and its outcome.
//
// They live on the stack of the caller, or in a Pending. Their reference arguments must live as long as they do.
#pragma once

#include "base/clock.hpp"
#include "base/patience.hpp"
#include "base/result.hpp"
#include "master/audit_trail.hpp"
#include "master/backend.hpp"
#include "master/command_output.hpp"
#include "master/local_file.hpp"
#include "master/operation_record.hpp"
#include "master/request.hpp"
#include "master/target.hpp"
#include "os/file.hpp"

#include <remsh/base/call_options.hpp>
#include <remsh/base/work.hpp>
#include <remsh/connection/box_codec.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace remsh {

/// The base of all operations: the operation for the back end, and the Request that makes error messages. `T` is what
/// the caller gets.
template <class Operation, class T>
class SlaveWork : public detail::WorkOf<T> {
 public:
  ~SlaveWork() override { cancel(); }

  void suspend() final { started_->suspend(); }
  bool poll(const Waker& wake) final {
    return drive([&] { return started_->poll(wake); });
  }
  bool wait_until(TimePoint until) final {
    return drive([&] { return started_->wait_until(until); });
  }
  T take() final {
    if (!started_) request_.fail_cancelled();
    const auto trail = std::move(trail_);  // its destructor reports the end
    const auto end = [&] {
      auto answer = started_->take();
      has_ended_ = answer.ok();
      if (trail) trail->answered(answer, asked_.reply);
      return finish(std::move(answer));
    };
    return trail ? trail->watch(end) : end();
  }

  void cancel() {
    if (trail_) trail_->left(started_, asked_.reply);
    // After a failure on the caller's side the slave may still be running the operation.
    auto left = started_ && !has_ended_ ? LeftOperation::replace(record_, slave_.operations()) : nullptr;
    started_.reset();
    slave_.operations().remove(record_);
    if (left) slave_.notify_when_over(std::move(left));
    trail_.reset();
  }

  /// Its number; 0 if it has not begun, or could not.
  [[nodiscard]] std::uint64_t number() const noexcept { return asked_.number; }

  /// The blocking form: waits and returns the outcome.
  T run() {
    wait_until(TimePoint::max());
    return take();
  }

 protected:
  /// `first` is the argument that messages show; it and the target must outlive this object. `second` is a member of
  /// the request that messages show as well, or null.
  template <class Options>
  SlaveWork(const Target& target, typename Operation::Request asked, const Options& options, BytesView first,
            Bytes Operation::Request::*second = nullptr)
      : slave_(target.slave),
        asked_(target.resolved<Operation>(std::move(asked))),
        request_(slave_, Operation::what, first, second != nullptr ? BytesView(asked_.request.*second) : BytesView()),
        patience_(target.patience(options.deadline, options.stop, joined_stop_)),
        record_(request_, asked_, target.tag(options.tag), target.builder()) {
    follow();
  }

  /// For a request whose paths are the arguments that messages show.
  template <class Options>
  SlaveWork(const Target& target, typename Operation::Request asked, const Options& options)
      : slave_(target.slave),
        asked_(target.resolved<Operation>(std::move(asked))),
        request_(Request::of(slave_, Operation::what, asked_.request)),
        patience_(target.patience(options.deadline, options.stop, joined_stop_)),
        record_(request_, asked_, target.tag(options.tag), target.builder()) {
    follow();
  }

  /// Called by the constructors of derived classes, when they have checked the arguments.
  void begin() {
    slave_.operations().add(record_);  // before the slave can have received it
    started_ = slave_.start(asked_, patience_);
    if (trail_) trail_->begin();
  }

  /// The outcome for the caller, once asked_ has its reply. Throws if there is none.
  virtual T finish(Result<void> answer) = 0;

  void require(Result<void> answer) { request_.value_of(std::move(answer), patience_.stop); }

  Backend& slave_;
  Asked<Operation> asked_;
  Request request_;
  std::unique_ptr<JoinedStop> joined_stop_;  // null if one token is enough
  const Patience patience_;
  OperationRecord record_;
  std::unique_ptr<AuditTrail> trail_;  // null if there is no audit hook

 private:
  void follow() {
    if (const AuditHook* const hook = slave_.audit()) trail_ = std::make_unique<AuditTrail>(*hook, slave_, record_);
  }

  template <class Step>
  bool drive(Step step) {
    return trail_ ? trail_->drive(step) : step();
  }

  Started started_;
  bool has_ended_ = false;  // on the slave, as its answer shows
};

// The outcome for the caller, from the reply.
inline void outcome_of(operations::Nothing&& /*reply*/) {}
inline Bytes outcome_of(operations::SetCwd::Reply&& reply) { return std::move(reply.path); }
inline std::map<Bytes, Bytes> outcome_of(operations::Getenv::Reply&& reply) { return std::move(reply.env); }
inline std::map<Bytes, Bytes> outcome_of(operations::ReadInfo::Reply&& reply) { return std::move(reply.files); }
inline std::vector<Bytes> outcome_of(operations::SetBuilders::Reply&& reply) { return std::move(reply.others); }
inline bool outcome_of(operations::RunningReply&& reply) { return reply.running; }
inline std::optional<FileInfo> outcome_of(operations::Stat::Reply&& reply) { return reply.info; }
inline std::vector<std::string> outcome_of(operations::ListOperations::Reply&& reply) { return std::move(reply.names); }
inline std::vector<std::string> outcome_of(operations::LogTail::Reply&& reply) { return std::move(reply.lines); }

template <class Operation>
using OutcomeOf = decltype(outcome_of(std::declval<typename Operation::Reply>()));

/// An operation without streams, whose outcome is in the reply.
template <class Operation>
class PlainWork final : public SlaveWork<Operation, OutcomeOf<Operation>> {
 public:
  template <class Options>
  PlainWork(const Target& target, typename Operation::Request asked, const Options& options)
      : SlaveWork<Operation, OutcomeOf<Operation>>(target, std::move(asked), options) {
    this->request_.check_fields(this->asked_.request);
    this->begin();
  }

 private:
  OutcomeOf<Operation> finish(Result<void> answer) override {
    this->require(std::move(answer));
    return outcome_of(std::move(this->asked_.reply));
  }
};

class PingWork final : public SlaveWork<operations::Ping, std::chrono::nanoseconds> {
 public:
  PingWork(const Target& target, const CallOptions& options) : SlaveWork(target, {}, options) { begin(); }

 private:
  std::chrono::nanoseconds finish(Result<void> answer) override {
    require(std::move(answer));
    return asked_.answered_at - begin_;
  }

  const TimePoint begin_ = real_clock().now();
};

/// Adds to what the slave says what only the master can know.
class HostFactsWork final : public SlaveWork<operations::ReadHostFacts, HostFacts> {
 public:
  HostFactsWork(const Target& target, const CallOptions& options) : SlaveWork(target, {}, options) { begin(); }

 private:
  HostFacts finish(Result<void> answer) override {
    require(std::move(answer));
    HostFacts facts = std::move(asked_.reply.facts);
    facts.round_trip = asked_.answered_at - begin_;
    constexpr std::chrono::nanoseconds most{std::int64_t{1} << 62U};  // a slave may claim any time
    const auto clock = std::clamp(facts.clock.time_since_epoch(), -most, most);
    facts.clock_ahead = clock - (begun_at_.time_since_epoch() + facts.round_trip / 2);
    return facts;
  }

  const TimePoint begin_ = real_clock().now();
  const std::chrono::sys_time<std::chrono::nanoseconds> begun_at_ = std::chrono::system_clock::now();
};

// The following have members that the back end has references to. They end its work before these are destroyed.

class ListWork final : public SlaveWork<operations::List, std::vector<DirectoryEntry>> {
 public:
  ListWork(const Target& target, const Bytes& path, const ListOptions& options);
  ~ListWork() override { cancel(); }

 private:
  std::vector<DirectoryEntry> finish(Result<void> answer) override;
  void take_in(BytesView bytes);
  [[noreturn]] void makes_no_sense(const std::string& why) const;

  const ListOptions& options_;
  BoxDecoder decoder_;
  std::uint64_t count_ = 0;
  std::vector<DirectoryEntry> entries_;
};

class CallWork final : public SlaveWork<operations::Call, Box> {
 public:
  CallWork(const Target& target, const std::string& operation, const Box& arguments,
           const OwnOperationOptions& options);
  ~CallWork() override { cancel(); }

 private:
  Box finish(Result<void> answer) override;

  OpenFile file_;  // of the input
  CommandOutput out_;
};

class ExecuteWork final : public SlaveWork<operations::Execute, ExecuteResult> {
 public:
  /// `may_write`: its caller can write to its input while it runs.
  ExecuteWork(const Target& target, const std::vector<Bytes>& args, const ExecuteOptions& options,
              bool may_write = false);
  ~ExecuteWork() override { cancel(); }

  /// Counts input that the caller has written.
  void count_input(std::uint64_t bytes) noexcept { asked_.moved.add_in(bytes); }

 private:
  ExecuteResult finish(Result<void> answer) override;
  void begin_header();
  std::vector<Bytes> shown_arguments(const std::vector<Bytes>& args, const std::vector<Bytes>& secrets);
  LogFileResult result_of_log(std::size_t index);

  OpenFile file_;  // of the input
  const std::vector<Bytes> shown_;
  CommandOutput out_;
  CommandOutput err_;
  CommandOutput header_;
  const OutputCallback header_callback_;  // empty if the header is not wanted
  bool header_begun_ = false;
  const ExecuteOptions& options_;
  std::deque<CommandOutput> logs_;
  std::vector<OutputCallback> log_callbacks_;
};

/// Reports the progress of a transfer to a callback, at most every 100 ms.
class Progress {
 public:
  explicit Progress(const ProgressCallback& callback) : callback_(callback) {
    if (callback_) told_ = real_clock().now();
  }

  void advance(std::uint64_t done, std::optional<std::uint64_t> total) {
    if (!callback_) return;
    const TimePoint now = real_clock().now();
    if (now - told_ < std::chrono::milliseconds(100)) return;
    told_ = now;
    // A file may grow while it is sent; then `done` exceeds the size that was known.
    callback_(done, total ? std::optional(std::max(*total, done)) : std::nullopt);
  }

  void finish(std::uint64_t done) {
    if (callback_) callback_(done, done);
  }

 private:
  const ProgressCallback& callback_;
  TimePoint told_;
};

class SendWork final : public SlaveWork<operations::Send, TransferResult> {
 public:
  SendWork(const Target& target, const Source& source, const Bytes& to, const TransferOptions& options);
  ~SendWork() override { cancel(); }

 private:
  TransferResult finish(Result<void> answer) override;

  Progress progress_;
  OpenFile file_;
};

class FetchWork final : public SlaveWork<operations::Fetch, TransferResult> {
 public:
  FetchWork(const Target& target, const Bytes& from, const Sink& sink, const TransferOptions& options);
  ~FetchWork() override { cancel(); }

 private:
  TransferResult finish(Result<void> answer) override;
  void require_space(bool fits) const;
  void require_local(const Result<void>& result, const std::string& path) const;
  OutputCallback output_to(const Sink& sink);

  const Sink& sink_;
  const TransferOptions& options_;
  Progress progress_;
  Bytes memory_;
  std::optional<LocalFile> file_;
};

}  // namespace remsh
