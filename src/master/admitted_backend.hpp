// AdmittedBackend: a Backend as admission makes it, before its connection is open.
#pragma once

#include "master/backend.hpp"

#include <remsh/transport/transport.hpp>

#include <functional>
#include <memory>
#include <utility>

namespace remsh {

/// A Backend over a connection that comes later, so that the slave class can decide whether it wants it: until open()
/// every operation fails with connection_lost. Thread-safe.
class AdmittedBackend : public Backend {
 public:
  /// What it asks of who admits it, which it may outlive.
  struct Owner {
    /// Runs a function of a backend, whose connection has ended, on a thread that may block, or drops it.
    std::function<void(const Backend&, std::function<void()>)> run_farewell;

    /// Called on the loop, once, when a connection that was open has ended.
    std::function<void(const Backend&, const Failure&)> on_end;

    AuditHook audit = {};
  };

  [[nodiscard]] const AuditHook* audit() const noexcept final {
    const AuditHook& hook = owner().audit;
    return hook ? &hook : nullptr;
  }

  /// Takes over the connection of a worker that has been told that it is registered. Once; disconnect() may have come
  /// before, and takes effect then.
  virtual void open(std::unique_ptr<Transport> transport) = 0;

  /// In place of open(): there will never be a connection.
  virtual void fail(Failure failure) = 0;

  /// Waits until the connection has ended and all callers have left. After open() and disconnect(); never on the loop
  /// or in a callback.
  virtual void wait_until_left() = 0;

 protected:
  /// Tells of the end of the connection.
  void tell_lost(LostCallbacks& callbacks) const {
    callbacks.tell([this](std::function<void()> function) { owner().run_farewell(*this, std::move(function)); });
  }

 private:
  [[nodiscard]] virtual const Owner& owner() const noexcept = 0;
};

}  // namespace remsh
