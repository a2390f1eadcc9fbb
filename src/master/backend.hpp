// Backend: what a Slave needs of any kind of worker. No AMP in here.
#pragma once

#include "base/operations_end.hpp"
#include "base/patience.hpp"
#include "base/result.hpp"
#include "master/asked_operation.hpp"
#include "master/lost_callback.hpp"
#include "master/operations_in_progress.hpp"
#include "master/packed_info.hpp"
#include "master/proof.hpp"

#include <remsh/master/audit.hpp>
#include <remsh/master/work.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace remsh {

/// An operation that was started. What it was given by reference must live as long as it does.
using Started = std::unique_ptr<detail::WorkOf<Result<void>>>;

/// One worker, as a Slave drives it. Thread-safe; operations run at the same time. Each is over when it is done or its
/// Patience end it. User code (callbacks) may throw through any of them.
class Backend {
 public:
  virtual ~Backend() = default;

  /// Who it is; set by SlaveInit, before anybody else sees it.
  void set_info(const SlaveInfo& info) { info_.set(info); }

  /// Unpacked by the first call, and kept from then on. Valid as long as this object.
  [[nodiscard]] const SlaveInfo& info() const { return info_.unpacked(); }

  /// A copy, of which nothing is kept: for those who look at all slaves.
  [[nodiscard]] SlaveInfo info_copy() const { return info_.unpack(); }

  [[nodiscard]] std::string_view name() const noexcept { return info_.name(); }
  [[nodiscard]] std::string_view key_id() const noexcept { return info_.key_id(); }
  [[nodiscard]] std::string_view address() const noexcept { return info_.address(); }
  [[nodiscard]] std::optional<std::string_view> label(std::string_view key) const noexcept { return info_.label(key); }

  /// What it has shown to be the one of its name; set before anybody else sees it.
  void set_proof(Proof proof) noexcept { proof_ = proof; }
  [[nodiscard]] Proof proof() const noexcept { return proof_; }

  /// Whether a collection has still to ask by on_lost() for the end to be told to it. It is not to end before its
  /// callback does, so that no other takes its address.
  bool has_to_ask(const void* collection) noexcept { return told_.exchange(collection) != collection; }

  /// Its operations that are not over, as their callers asked for them.
  [[nodiscard]] OperationsInProgress& operations() noexcept { return operations_; }

  /// Who is to be told of its operations; null: nobody. Lives as long as the backend.
  [[nodiscard]] virtual const AuditHook* audit() const noexcept { return nullptr; }

  /// Begins an operation, whose reply will be in it once it is over. It must outlive what this returns. A worker that
  /// cannot do it fails it with unsupported and a sentence that names it.
  virtual Started start(AskedOperation& operation, const Patience& options) = 0;

  /// The number that the next operation gets: they are numbered in the order in which they begin.
  [[nodiscard]] virtual std::uint64_t next_operation() const = 0;

  /// Notes `end` when no operation of its range runs any more, or the session is over; at once, in this thread, if that
  /// is so now. An operation that its caller has left runs until the worker has answered. A cut alone ends none.
  virtual void notify_when_over(std::unique_ptr<OperationsEnd> end) noexcept = 0;

  /// Ends the connection; the words are told to the worker where its protocol can. Returns at once.
  void disconnect(const std::string& words, DisconnectReason reason = DisconnectReason::closed_here) {
    end_connection({Errc::connection_lost, words, 0, reason});
  }

  /// Ends the connection, for this.
  virtual void end_connection(Failure why) = 0;

  /// Why the connection ended; nothing while it is there. The worker may be cut, and its session not over: then it has
  /// no connection, and on_lost() is still to come (decision 0034).
  [[nodiscard]] virtual std::optional<Failure> lost() const = 0;

  /// Tells when the session is over: note() at once, run() never in a thread of the user's. If it is over already, both
  /// are called at once, in this thread. No lock is held.
  virtual void on_lost(std::unique_ptr<LostCallback> callback) = 0;

 private:
  PackedInfo info_;
  std::atomic<const void*> told_ = nullptr;                // the last collection that asked
  [[no_unique_address]] OperationsInProgress operations_;  // the next member lies in its padding
  Proof proof_ = Proof::none;
};

}  // namespace remsh
