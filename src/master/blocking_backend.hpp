// BlockingBackend: a Backend whose operations block their thread.
#pragma once

#include "master/backend.hpp"
#include "master/running_operations.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace remsh {

/// A Backend whose operations block the thread that calls them: the simplest to write, for workers that speak a
/// protocol of their own. An operation that is waited for runs in the waiting thread; one that is started has a thread
/// for as long as it runs, whose callbacks are handed to whoever drives it.
/// They are not asked for durability, which no protocol of theirs has.
template <class Base = Backend>
class BlockingBackend : public Base, protected RunningOperations {
 public:
  virtual Result<Bytes> set_cwd(const std::optional<Bytes>& path, const CallOptions& options) = 0;
  virtual Result<std::map<Bytes, Bytes>> getenv(const CallOptions& options) = 0;
  virtual Result<std::map<Bytes, Bytes>> read_info(const CallOptions& options) = 0;
  virtual Result<void> mkdir(const Bytes& path, std::optional<std::uint32_t> mode, const CallOptions& options) = 0;
  virtual Result<void> remove(const Bytes& path, const CallOptions& options) = 0;
  virtual Result<void> rename(const Bytes& from, const Bytes& to, bool overwrite, const CallOptions& options) = 0;
  virtual Result<void> copy(const Bytes& from, const Bytes& to, bool overwrite, const CallOptions& options) = 0;
  virtual Result<std::optional<FileInfo>> stat(const Bytes& path, bool follow, const CallOptions& options) = 0;
  virtual Result<ExecuteResult> execute(const ExecuteRequest& request, const ExecuteStreams& streams,
                                        const CallOptions& options) = 0;
  virtual Result<void> send(const Bytes& path, const InputCallback& input, bool overwrite, std::uint32_t mode,
                            const CallOptions& options) = 0;
  virtual Result<FetchedFile> fetch(const Bytes& path, const SizeCallback& size, const OutputCallback& output,
                                    const CallOptions& options) = 0;
  virtual Result<Box> call(const std::string& name, const Box& arguments, const CallOptions& options) = 0;
  virtual Result<void> ping(const CallOptions& options) = 0;

  [[nodiscard]] std::uint64_t next_operation() const final { return RunningOperations::next(); }
  void notify_when_over(std::unique_ptr<OperationsEnd> end) noexcept final { wait_for(std::move(end)); }

  Started<Bytes> start_set_cwd(const std::optional<Bytes>& path, const CallOptions& options) final;
  Started<std::map<Bytes, Bytes>> start_getenv(const CallOptions& options) final;
  Started<std::map<Bytes, Bytes>> start_read_info(const CallOptions& options) final;
  Started<void> start_mkdir(const Bytes& path, std::optional<std::uint32_t> mode, const CallOptions& options) final;
  Started<void> start_remove(const Bytes& path, const CallOptions& options) final;
  Started<void> start_rename(const Bytes& from, const Bytes& to, Placement placement, const CallOptions& options) final;
  Started<void> start_copy(const Bytes& from, const Bytes& to, Placement placement, const CallOptions& options) final;
  Started<std::optional<FileInfo>> start_stat(const Bytes& path, bool follow, const CallOptions& options) final;
  Started<ExecuteResult> start_execute(const ExecuteRequest& request, const ExecuteStreams& streams,
                                       const CallOptions& options) final;
  Started<void> start_send(const Bytes& path, const InputCallback& input, Placement placement, std::uint32_t mode,
                           const CallOptions& options) final;
  Started<FetchedFile> start_fetch(const Bytes& path, const SizeCallback& size, const OutputCallback& output,
                                   const CallOptions& options) final;
  Started<Box> start_call(const std::string& name, const Box& arguments, const CallOptions& options) final;
  Started<TimePoint> start_ping(const CallOptions& options) final;
};

}  // namespace remsh
