// AdmittedBackend: a Backend whose connection admission opens later.
#pragma once

#include "master/backend.hpp"
#include "master/lost_callback.hpp"

#include <remsh/transport/transport.hpp>

#include <cassert>
#include <functional>
#include <memory>
#include <utility>

namespace remsh {

/// A Backend that gets its connection later, so that the user's slave class can refuse the slave first. Until open()
/// every operation fails with connection_lost. Thread-safe.
class AdmittedBackend : public Backend {
 public:
  /// What the listener provides to its back ends, which may outlive it.
  struct Owner {
    /// Runs a function of a back end whose connection has ended, on a thread that may block. Drops it if the listener
    /// is gone.
    std::function<void(const Backend&, std::function<void()>)> run_farewell;

    /// Called on the loop, once, when the connection of an open back end has ended.
    std::function<void(const Backend&, const Failure&)> on_end;

    /// Called once per back end, after its last run_farewell.
    std::function<void()> on_told;

    AuditHook audit = {};
  };

  ~AdmittedBackend() override { assert(on_lost_.were_told()); }

  void on_lost(std::unique_ptr<LostCallback> callback) final { on_lost_.add(std::move(callback)); }

  [[nodiscard]] const AuditHook* audit() const noexcept final {
    const AuditHook& hook = owner().audit;
    return hook ? &hook : nullptr;
  }

  /// Takes over the connection, after the welcome was sent to the worker. Called once. An earlier disconnect() takes
  /// effect now.
  virtual void open(std::unique_ptr<Transport> transport) = 0;

  /// Called in place of open() if there will never be a connection.
  virtual void fail(Failure failure) = 0;

  /// Waits until the connection has ended and all callers have left. Only after open() and disconnect(); never on the
  /// loop or in a callback.
  virtual void wait_until_left() = 0;

 protected:
  /// Calls the callbacks for the end of the connection, once. Called by fail(), when the connection has ended, and by
  /// the destructor of each back end, since its last handle may be dropped before.
  void tell_lost() {
    const bool is_first =
        on_lost_.tell([this](std::function<void()> function) { owner().run_farewell(*this, std::move(function)); });
    if (is_first) owner().on_told();
  }

  /// See LostCallbacks.
  bool note_draining() noexcept { return on_lost_.tell_draining(); }

 private:
  [[nodiscard]] virtual const Owner& owner() const noexcept = 0;

  LostCallbacks on_lost_;
};

}  // namespace remsh
