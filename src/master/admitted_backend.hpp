// AdmittedBackend: a Backend whose connection admission opens later.
#pragma once

#include "master/backend.hpp"

#include <remsh/transport/transport.hpp>

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

    AuditHook audit = {};
  };

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
  /// Calls the callbacks for the end of the connection.
  void tell_lost(LostCallbacks& callbacks) const {
    callbacks.tell([this](std::function<void()> function) { owner().run_farewell(*this, std::move(function)); });
  }

 private:
  [[nodiscard]] virtual const Owner& owner() const noexcept = 0;
};

}  // namespace remsh
