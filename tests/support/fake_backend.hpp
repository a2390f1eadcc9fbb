// FakeBackend: a worker made of functions, for tests of what is above it.
#pragma once

#include "master/blocking_backend.hpp"

#include <remsh/master/slave.hpp>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace remsh::test {

/// Each operation is a function that a test may set before it is called; unset, it succeeds and does nothing.
/// The connection is there until lose() or disconnect(). Thread-safe, as far as the functions are.
class FakeBackend : public BlockingBackend<> {
 public:
  std::function<Result<Bytes>(const std::optional<Bytes>&, const CallOptions&)> do_set_cwd;
  std::function<Result<std::map<Bytes, Bytes>>(const CallOptions&)> do_getenv;
  std::function<Result<std::map<Bytes, Bytes>>(const CallOptions&)> do_read_info;
  std::function<Result<void>(const Bytes&, std::optional<std::uint32_t>, const CallOptions&)> do_mkdir;
  std::function<Result<void>(const Bytes&, const CallOptions&)> do_remove;
  std::function<Result<void>(const Bytes&, const Bytes&, bool, const CallOptions&)> do_rename;
  std::function<Result<void>(const Bytes&, const Bytes&, bool, const CallOptions&)> do_copy;
  std::function<Result<std::optional<FileInfo>>(const Bytes&, bool, const CallOptions&)> do_stat;
  std::function<Result<ExecuteResult>(const ExecuteRequest&, const ExecuteStreams&, const CallOptions&)> do_execute;
  std::function<Result<void>(const Bytes&, const InputCallback&, bool, std::uint32_t, const CallOptions&)> do_send;
  std::function<Result<FetchedFile>(const Bytes&, const SizeCallback&, const OutputCallback&, const CallOptions&)>
      do_fetch;
  std::function<Result<Box>(const std::string&, const Box&, const CallOptions&)> do_call;
  std::function<Result<void>(const CallOptions&)> do_ping;
  AuditHook audit_hook;

  [[nodiscard]] const AuditHook* audit() const noexcept override { return audit_hook ? &audit_hook : nullptr; }

  Result<Bytes> set_cwd(const std::optional<Bytes>& path, const CallOptions& options) override {
    return do_set_cwd ? do_set_cwd(path, options) : Result<Bytes>(path.value_or("/base"));
  }
  Result<std::map<Bytes, Bytes>> getenv(const CallOptions& options) override {
    return do_getenv ? do_getenv(options) : Result(std::map<Bytes, Bytes>());
  }
  Result<std::map<Bytes, Bytes>> read_info(const CallOptions& options) override {
    return do_read_info ? do_read_info(options) : Result(std::map<Bytes, Bytes>());
  }
  Result<void> mkdir(const Bytes& path, std::optional<std::uint32_t> mode, const CallOptions& options) override {
    return do_mkdir ? do_mkdir(path, mode, options) : Result<void>();
  }
  Result<void> remove(const Bytes& path, const CallOptions& options) override {
    return do_remove ? do_remove(path, options) : Result<void>();
  }
  Result<void> rename(const Bytes& from, const Bytes& to, bool overwrite, const CallOptions& options) override {
    return do_rename ? do_rename(from, to, overwrite, options) : Result<void>();
  }
  Result<void> copy(const Bytes& from, const Bytes& to, bool overwrite, const CallOptions& options) override {
    return do_copy ? do_copy(from, to, overwrite, options) : Result<void>();
  }
  Result<std::optional<FileInfo>> stat(const Bytes& path, bool follow, const CallOptions& options) override {
    return do_stat ? do_stat(path, follow, options) : Result(std::optional<FileInfo>());
  }
  Result<ExecuteResult> execute(const ExecuteRequest& request, const ExecuteStreams& streams,
                                const CallOptions& options) override {
    return do_execute ? do_execute(request, streams, options) : Result(ExecuteResult());
  }
  Result<void> send(const Bytes& path, const InputCallback& input, bool overwrite, std::uint32_t mode,
                    const CallOptions& options) override {
    return do_send ? do_send(path, input, overwrite, mode, options) : Result<void>();
  }
  Result<FetchedFile> fetch(const Bytes& path, const SizeCallback& size, const OutputCallback& output,
                            const CallOptions& options) override {
    return do_fetch ? do_fetch(path, size, output, options) : Result(FetchedFile());
  }
  Result<Box> call(const std::string& name, const Box& arguments, const CallOptions& options) override {
    return do_call ? do_call(name, arguments, options) : Result(Box());
  }
  Result<void> ping(const CallOptions& options) override { return do_ping ? do_ping(options) : Result<void>(); }

  /// From now on the worker goes on with operations that have ended here, until answer().
  void go_on() {
    const std::lock_guard lock(mutex_);
    goes_on_ = true;
  }

  /// The worker has ended what its callers had left.
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

  /// The connection ends. What is to be called then is called in this thread, after `between`.
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

  [[nodiscard]] std::optional<Failure> lost() const override {
    const std::lock_guard lock(mutex_);
    return lost_;
  }

  void on_lost(std::unique_ptr<LostCallback> callback) override { on_lost_.add(std::move(callback)); }

 private:
  void over(OperationsEnds ends) noexcept override {
    {
      const std::lock_guard lock(mutex_);
      if (goes_on_ && !lost_) return ends_.add(std::move(ends));
    }
    ends.note();
  }

  mutable std::mutex mutex_;
  std::optional<Failure> lost_;
  bool goes_on_ = false;
  OperationsEnds ends_;
  LostCallbacks on_lost_;
};

/// A slave with a worker of functions.
struct FakeSlave {
  explicit FakeSlave(const std::string& name, const std::string& system = "linux")
      : slave(std::make_shared<Slave>(SlaveInit({.name = name, .system = system}, backend))) {}

  Slave* operator->() const { return slave.get(); }

  std::shared_ptr<FakeBackend> backend = std::make_shared<FakeBackend>();
  std::shared_ptr<Slave> slave;
};

}  // namespace remsh::test
