// Backend: what a Slave needs of any kind of worker. No AMP in here.
#pragma once

#include "base/operations_end.hpp"
#include "base/result.hpp"
#include "master/lost_callback.hpp"
#include "master/packed_info.hpp"
#include "master/proof.hpp"

#include <remsh/base/call_options.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/connection/box.hpp>
#include <remsh/master/audit.hpp>
#include <remsh/master/work.hpp>
#include <remsh/operations/execute.hpp>
#include <remsh/operations/filesystem.hpp>
#include <remsh/operations/transfer.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace remsh {

/// How a command is to be run, as the worker needs to know it.
struct ExecuteRequest {
  std::vector<Bytes> args;
  const ExecuteOptions* options = nullptr;  // cwd, environment, timeouts, what to do with the streams
};

/// What runs between a command and its caller: the backend calls these in the thread that drives it, holding nothing.
struct ExecuteStreams {
  InputCallback input;  // empty: none
  OutputCallback out;   // empty: not wanted
  OutputCallback err;
};

/// Told how long a fetched file will be.
using SizeCallback = std::function<void(std::uint64_t)>;

/// What a fetched file is, as far as the worker tells it.
struct FetchedFile {
  std::optional<std::uint32_t> mode;
};

/// An operation that was started. What it was given by reference must live as long as it does.
template <class T>
using Started = std::unique_ptr<WorkOf<Result<T>>>;

/// How a file gets its name on a worker.
struct Placement {
  bool overwrite = false;  ///< it may replace what is there
  bool durable = true;     ///< it is on the disk before the operation is over, if the worker knows how
};

/// One worker, as a Slave drives it. Thread-safe; operations run at the same time. Each is over when it is done or its
/// CallOptions end it. User code (callbacks) may throw through any of them.
class Backend {
 public:
  virtual ~Backend() = default;

  /// Who it is; set by SlaveInit, before anybody else sees it.
  void set_info(const SlaveInfo& info) { info_ = PackedInfo(info); }
  [[nodiscard]] SlaveInfo info() const { return info_.unpack(); }
  [[nodiscard]] std::string_view name() const noexcept { return info_.name(); }
  [[nodiscard]] std::string_view kid() const noexcept { return info_.kid(); }

  /// What it has shown to be the one of its name; set before anybody else sees it.
  void set_proof(Proof proof) noexcept { proof_ = proof; }
  [[nodiscard]] Proof proof() const noexcept { return proof_; }

  /// Whether a collection has still to ask by on_lost() for the end to be told to it. It is not to end before its
  /// callback does, so that no other takes its address.
  bool has_to_ask(const void* collection) noexcept { return told_.exchange(collection) != collection; }

  /// Who is to be told of its operations; null: nobody. Lives as long as the backend.
  [[nodiscard]] virtual const AuditHook* audit() const noexcept { return nullptr; }

  virtual Started<Bytes> start_set_cwd(const std::optional<Bytes>& path, const CallOptions& options) = 0;
  virtual Started<std::map<Bytes, Bytes>> start_getenv(const CallOptions& options) = 0;
  virtual Started<std::map<Bytes, Bytes>> start_read_info(const CallOptions& options) = 0;
  virtual Started<void> start_mkdir(const Bytes& path, std::optional<std::uint32_t> mode,
                                    const CallOptions& options) = 0;
  virtual Started<void> start_remove(const Bytes& path, const CallOptions& options) = 0;
  virtual Started<void> start_rename(const Bytes& from, const Bytes& to, Placement placement,
                                     const CallOptions& options) = 0;
  virtual Started<void> start_copy(const Bytes& from, const Bytes& to, Placement placement,
                                   const CallOptions& options) = 0;
  virtual Started<std::optional<FileInfo>> start_stat(const Bytes& path, bool follow, const CallOptions& options) = 0;
  virtual Started<ExecuteResult> start_execute(const ExecuteRequest& request, const ExecuteStreams& streams,
                                               const CallOptions& options) = 0;

  /// Writes a file of what `input` gives. The worker makes it appear only when it is complete.
  virtual Started<void> start_send(const Bytes& path, const InputCallback& input, Placement placement,
                                   std::uint32_t mode, const CallOptions& options) = 0;

  /// Reads a file: `size` is told first, where it is known, then `output` gets its bytes in order.
  virtual Started<FetchedFile> start_fetch(const Bytes& path, const SizeCallback& size, const OutputCallback& output,
                                           const CallOptions& options) = 0;

  /// An operation that the owner of the slave has registered there.
  virtual Started<Box> start_call(const std::string& name, const Box& arguments, const CallOptions& options) = 0;

  /// Gives when the answer came.
  virtual Started<TimePoint> start_ping(const CallOptions& options) = 0;

  /// The number that the next operation gets: they are numbered in the order in which they begin.
  [[nodiscard]] virtual std::uint64_t next_operation() const = 0;

  /// Notes `end` when no operation of its range runs any more, or the connection has ended; at once, in this thread, if
  /// that is so now. An operation that its caller has left runs until the worker has answered.
  virtual void notify_when_over(std::unique_ptr<OperationsEnd> end) noexcept = 0;

  /// Ends the connection; the words are told to the worker where its protocol can. Returns at once.
  void disconnect(const std::string& words, DisconnectReason reason = DisconnectReason::closed_here) {
    end_connection({Errc::connection_lost, words, 0, reason});
  }

  /// Ends the connection, for this.
  virtual void end_connection(Failure why) = 0;

  /// Why the connection ended; nothing while it is there.
  [[nodiscard]] virtual std::optional<Failure> lost() const = 0;

  /// Tells when the connection has ended: note() at once, run() never in a thread of the user's. Both at once, in this
  /// thread, where it has already. No lock is held.
  virtual void on_lost(std::unique_ptr<LostCallback> callback) = 0;

 private:
  PackedInfo info_;
  std::atomic<const void*> told_ = nullptr;  // the last collection that asked
  Proof proof_ = Proof::none;
};

}  // namespace remsh
