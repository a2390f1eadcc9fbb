// Backend: what a Slave needs of any kind of worker. Independent of AMP.
#pragma once

#include "base/operations_end.hpp"
#include "base/patience.hpp"
#include "base/result.hpp"
#include "master/asked_operation.hpp"
#include "master/keepalive.hpp"
#include "master/lost_callback.hpp"
#include "master/operations_in_progress.hpp"
#include "master/packed_info.hpp"
#include "master/proof.hpp"

#include <remsh/base/work.hpp>
#include <remsh/master/audit.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace remsh {

/// An operation that was started. Its reference arguments must live as long as it does.
using Started = std::unique_ptr<detail::WorkOf<Result<void>>>;

/// One worker, as a Slave drives it. Thread-safe; operations run concurrently. Each ends when it is done or when its
/// Patience ends it. User code (callbacks) may throw through any of them.
class Backend {
 public:
  virtual ~Backend() = default;

  /// Sets who the worker is. Called by SlaveInit, before any other thread sees the back end.
  void set_info(const SlaveInfo& info) { info_.set(info); }

  /// Unpacked by the first call, and kept from then on. Valid as long as this object.
  [[nodiscard]] const SlaveInfo& info() const { return info_.unpacked(); }

  /// A copy, which is not kept here: for code that looks at all slaves.
  [[nodiscard]] SlaveInfo info_copy() const { return info_.unpack(); }

  [[nodiscard]] std::string_view name() const noexcept { return info_.name(); }
  [[nodiscard]] std::string_view key_id() const noexcept { return info_.key_id(); }
  [[nodiscard]] std::string_view address() const noexcept { return info_.address(); }
  [[nodiscard]] std::string_view boot_id() const noexcept { return info_.boot_id(); }
  [[nodiscard]] std::string_view instance_id() const noexcept { return info_.instance_id(); }
  [[nodiscard]] std::optional<std::string_view> label(std::string_view key) const noexcept { return info_.label(key); }
  [[nodiscard]] std::optional<std::string_view> claimed_label(std::string_view key) const noexcept {
    return info_.claimed_label(key);
  }

  /// How many of a resource the worker has, slots (auth::slots_name) among them.
  [[nodiscard]] std::uint64_t resource(std::string_view name) const noexcept { return info_.resource(name); }

  /// How the worker has proven its name. Set before any other thread sees the back end.
  void set_proof(Proof proof) noexcept { proof_ = proof; }
  [[nodiscard]] Proof proof() const noexcept { return proof_; }

  /// Whether a collection still has to register with on_lost(). A collection must not be destroyed before its callback
  /// has run: another one could have its address.
  bool has_to_ask(const void* collection) noexcept { return told_.exchange(collection) != collection; }

  /// The operations in progress, as their callers asked for them.
  [[nodiscard]] OperationsInProgress& operations() noexcept { return operations_; }

  /// The hook that its operations are reported to; null if there is none. Lives as long as the back end.
  [[nodiscard]] virtual const AuditHook* audit() const noexcept { return nullptr; }

  /// Begins an operation. Its reply is in `operation` at the end, so `operation` must outlive the object that this
  /// returns. If the worker does not have the operation, it fails with unsupported and a message that names it.
  virtual Started start(AskedOperation& operation, const Patience& options) = 0;

  /// Writes to the input of an operation that has begun, has input and has no end for it on our side (StreamEnds::in),
  /// from any thread. Returns false if the operation is over, or its caller has left. One write at a time.
  virtual Result<bool> write_input(std::uint64_t /*operation*/, BytesView /*bytes*/, const Patience& /*options*/) {
    return Failure{Errc::unsupported, "the protocol of this slave has no input that is written piece by piece", 0};
  }

  /// The input of that operation is complete.
  virtual void end_input(std::uint64_t /*operation*/) {}

  /// While the returned object lives, what this thread starts waits to be sent together. Null: the protocol has nothing
  /// of the kind.
  virtual std::shared_ptr<void> batch() { return nullptr; }

  /// The number of the next operation: operations are numbered in the order in which they begin.
  [[nodiscard]] virtual std::uint64_t next_operation() const = 0;

  /// Notes `end` when no operation of its range runs any more, or the session is over. If that is so already, notes it
  /// at once, in this thread. An operation that its caller has left runs until the worker has answered. A cut alone
  /// ends no operation.
  virtual void notify_when_over(std::unique_ptr<OperationsEnd> end) noexcept = 0;

  /// Ends the connection. The worker receives the words if its protocol can carry them. Returns at once.
  void disconnect(const std::string& words, DisconnectReason reason = DisconnectReason::closed_here) {
    end_connection({Errc::connection_lost, words, 0, reason});
  }

  /// Ends the connection, for this reason.
  virtual void end_connection(Failure why) = 0;

  /// Why the connection has ended; nullopt while it has not. The worker may be cut while its session is not over: then
  /// it has no connection, and on_lost() callbacks are still to come (decision 0034).
  [[nodiscard]] virtual std::optional<Failure> lost() const = 0;

  /// Why the worker will end, as it has announced; nullopt if it has not. It serves calls until then.
  [[nodiscard]] virtual std::optional<std::string> draining() const { return std::nullopt; }
  [[nodiscard]] virtual bool is_draining() const { return false; }

  /// Ends the connection of a worker that is draining, as soon as none of its operations runs. The caller must keep
  /// this object alive only until this returns.
  void let_go_when_idle() noexcept;

  /// Sets how long either side may be silent. False if the protocol has no keepalive of its own.
  virtual bool set_keepalive(const Keepalive& /*keepalive*/) { return false; }

  /// Registers a callback for the end of the session: its note() is called at once then, its run() never in a thread of
  /// the user's. If the session is over already, both are called before this returns, in this thread. No lock is held.
  virtual void on_lost(std::unique_ptr<LostCallback> callback) = 0;

 private:
  class LetGo;
  PackedInfo info_;
  std::atomic<const void*> told_ = nullptr;                // the last collection that registered
  [[no_unique_address]] OperationsInProgress operations_;  // the next member lies in its padding
  Proof proof_ = Proof::none;
};

}  // namespace remsh
