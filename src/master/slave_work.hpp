// The operations of a Slave, each as Work: what is checked before, what runs meanwhile, what becomes of the outcome.
//
// They live on the stack of who waits, or in a Pending. What they are given by reference must live as long as they do.
#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"
#include "master/audit_trail.hpp"
#include "master/backend.hpp"
#include "master/local_file.hpp"
#include "master/request.hpp"
#include "os/file.hpp"

#include <remsh/base/call_options.hpp>
#include <remsh/master/work.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace remsh {

/// What all of them are: a Request, and the same work of the backend. `Answer` is what that gives.
template <class T, class Answer = T>
class SlaveWork : public WorkOf<T> {
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
    if (!trail_) return finish(started_->take());
    const auto trail = std::move(trail_);  // tells when it goes
    return trail->watch([&] {
      auto answer = started_->take();
      trail->answered(answer);
      return finish(std::move(answer));
    });
  }

  void cancel() {
    if (trail_) trail_->left(started_);
    started_.reset();
    trail_.reset();
  }

  /// The blocking form: starts, waits and gives the outcome.
  T run() {
    wait_until(TimePoint::max());
    return take();
  }

 protected:
  template <class Options>
  SlaveWork(Request request, const Options& options)
      : request_(request), patience_{.deadline = options.deadline, .stop = options.stop} {
    if (const AuditHook* const hook = request_.backend().audit()) {
      trail_ = std::make_unique<AuditTrail>(*hook, request_, options.tag);
    }
  }

  /// To be called by the constructors of those below, when they have checked what is asked.
  void begin(Started<Answer> started) {
    started_ = std::move(started);
    if (trail_) trail_->begin();
  }

  /// What becomes of the answer.
  virtual T finish(Result<Answer> answer) = 0;

  Answer value_of(Result<Answer> answer) { return request_.value_of(std::move(answer), patience_.stop); }

  Request request_;
  const CallOptions patience_;
  std::unique_ptr<AuditTrail> trail_;  // null where nobody is to be told

 private:
  template <class Step>
  bool drive(Step step) {
    return trail_ ? trail_->drive(step) : step();
  }

  Started<Answer> started_;
};

/// Those whose outcome is what the backend gives.
template <class T>
class PlainWork : public SlaveWork<T> {
 protected:
  using SlaveWork<T>::SlaveWork;
  T finish(Result<T> answer) final { return this->value_of(std::move(answer)); }
};

class SetCwdWork final : public PlainWork<Bytes> {
 public:
  SetCwdWork(Backend& slave, const std::optional<Bytes>& path, const CallOptions& options)
      : PlainWork(Request(slave, "set_cwd", path ? BytesView(*path) : BytesView()), options) {
    if (path) request_.check_text("path", *path);
    begin(slave.start_set_cwd(path, patience_));
  }
};

class GetenvWork final : public PlainWork<std::map<Bytes, Bytes>> {
 public:
  GetenvWork(Backend& slave, const CallOptions& options) : PlainWork(Request(slave, "getenv"), options) {
    begin(slave.start_getenv(patience_));
  }
};

class ReadInfoWork final : public PlainWork<std::map<Bytes, Bytes>> {
 public:
  ReadInfoWork(Backend& slave, const CallOptions& options) : PlainWork(Request(slave, "read_info"), options) {
    begin(slave.start_read_info(patience_));
  }
};

class MkdirWork final : public PlainWork<void> {
 public:
  MkdirWork(Backend& slave, const Bytes& path, const CallOptions& options)
      : PlainWork(Request(slave, "mkdir", path), options) {
    request_.check("path", path);
    begin(slave.start_mkdir(path, std::nullopt, patience_));
  }
};

class RemoveWork final : public PlainWork<void> {
 public:
  RemoveWork(Backend& slave, const Bytes& path, const CallOptions& options)
      : PlainWork(Request(slave, "remove", path), options) {
    request_.check("path", path);
    begin(slave.start_remove(path, patience_));
  }
};

class RenameWork final : public PlainWork<void> {
 public:
  RenameWork(Backend& slave, const Bytes& from, const Bytes& to, const PathOptions& options)
      : PlainWork(Request(slave, "rename", from, to), options) {
    request_.check("source path", from);
    request_.check("destination path", to);
    begin(slave.start_rename(from, to, {options.overwrite, options.durable}, patience_));
  }
};

class CopyWork final : public PlainWork<void> {
 public:
  CopyWork(Backend& slave, const Bytes& from, const Bytes& to, const PathOptions& options)
      : PlainWork(Request(slave, "copy", from, to), options) {
    request_.check("source path", from);
    request_.check("destination path", to);
    begin(slave.start_copy(from, to, {options.overwrite, options.durable}, patience_));
  }
};

class StatWork final : public PlainWork<std::optional<FileInfo>> {
 public:
  StatWork(Backend& slave, const Bytes& path, const StatOptions& options)
      : PlainWork(Request(slave, "stat", path), options) {
    request_.check("path", path);
    begin(slave.start_stat(path, options.follow, patience_));
  }
};

class CallWork final : public PlainWork<Box> {
 public:
  CallWork(Backend& slave, const std::string& operation, const Box& arguments, const CallOptions& options)
      : PlainWork(Request(slave, "call", operation), options) {
    request_.check_call(operation, arguments);
    begin(slave.start_call(operation, arguments, patience_));
  }
};

class PingWork final : public SlaveWork<std::chrono::nanoseconds, TimePoint> {
 public:
  PingWork(Backend& slave, const CallOptions& options) : SlaveWork(Request(slave, "ping"), options) {
    begin(slave.start_ping(patience_));
  }

 private:
  std::chrono::nanoseconds finish(Result<TimePoint> answer) override { return value_of(std::move(answer)) - begin_; }

  const TimePoint begin_ = real_clock().now();
};

// The following have members that the backend is given by reference: they end its work before these go.

class ExecuteWork final : public SlaveWork<ExecuteResult> {
 public:
  ExecuteWork(Backend& slave, const std::vector<Bytes>& args, const ExecuteOptions& options);
  ~ExecuteWork() override { cancel(); }

 private:
  ExecuteResult finish(Result<ExecuteResult> answer) override;
  OutputCallback output_to(const OutputCallback& callback, bool discard, std::string_view stream, Bytes& captured);

  const ExecuteOptions& options_;
  const ExecuteRequest command_;
  ExecuteStreams streams_;
  Bytes out_;
  Bytes err_;
};

/// Counts a transfer and tells how far it is, now and then.
class Progress {
 public:
  explicit Progress(const ProgressCallback& callback) : callback_(callback) {
    if (callback_) told_ = real_clock().now();
  }

  void set_total(std::uint64_t total) { total_ = total; }

  void advance(std::size_t bytes) {
    done_ += bytes;
    if (!callback_) return;
    const TimePoint now = real_clock().now();
    if (now - told_ < std::chrono::milliseconds(100)) return;
    told_ = now;
    // A file may grow while it is sent; then more than it was is done.
    callback_(done_, total_ ? std::optional(std::max(*total_, done_)) : std::nullopt);
  }

  void finish() {
    if (callback_) callback_(done_, done_);
  }

  [[nodiscard]] std::uint64_t done() const noexcept { return done_; }

 private:
  const ProgressCallback& callback_;
  TimePoint told_;
  std::uint64_t done_ = 0;
  std::optional<std::uint64_t> total_;
};

class SendWork final : public SlaveWork<TransferResult, void> {
 public:
  SendWork(Backend& slave, const Source& source, const Bytes& to, const TransferOptions& options);
  ~SendWork() override { cancel(); }

 private:
  TransferResult finish(Result<void> answer) override;
  InputCallback input_of(const Source& source);

  Progress progress_;
  OpenFile file_;
  std::uint32_t mode_ = 0644;
  const InputCallback input_;
  const InputCallback counted_;
};

class FetchWork final : public SlaveWork<TransferResult, FetchedFile> {
 public:
  FetchWork(Backend& slave, const Bytes& from, const Sink& sink, const TransferOptions& options);
  ~FetchWork() override { cancel(); }

 private:
  TransferResult finish(Result<FetchedFile> answer) override;
  void require(bool fits) const;
  void require_local(const Result<void>& result, const std::string& path) const;
  OutputCallback output_to(const Sink& sink);

  const Sink& sink_;
  const TransferOptions& options_;
  Progress progress_;
  Bytes memory_;
  std::optional<LocalFile> file_;
  const OutputCallback write_;
  const SizeCallback size_;
  const OutputCallback counted_;
};

}  // namespace remsh
