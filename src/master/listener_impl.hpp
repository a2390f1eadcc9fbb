// SlaveListener::Impl: what the listeners of this library use of their base.
#pragma once

#include "master/admissions.hpp"

#include <remsh/master/slave_listener.hpp>

#include <memory>

namespace remsh {

struct SlaveListener::Impl {
  /// Admits a connection that has proven nothing yet.
  void admit(std::unique_ptr<Transport> connection, Admissions::Done done = {}) const {
    const bool keyless = admissions->options().keyless || connection->is_inherited();
    admissions->admit(std::move(connection), {.keyless = keyless}, std::move(done));
  }

  std::shared_ptr<Admissions> admissions;
};

/// Copies the options that two kinds of listener have in common. (They do not share a base, since a designated
/// initializer cannot name a member of a base.)
template <class From, class To>
void copy_common_options(const From& from, To& to) {
  to.slave_class = from.slave_class;
  if constexpr (requires { to.keys = from.keys; }) to.keys = from.keys;
  if constexpr (requires { to.keyless = from.keyless; }) to.keyless = from.keyless;
  if constexpr (requires { to.protocols = from.protocols; }) to.protocols = from.protocols;
  if constexpr (requires { to.backlog = from.backlog; }) to.backlog = from.backlog;
  to.keepalive = from.keepalive;
  to.keepalive_patience = from.keepalive_patience;
  to.handshake_timeout = from.handshake_timeout;
  to.arbitration_timeout = from.arbitration_timeout;
  if constexpr (requires { to.max_handshakes = from.max_handshakes; }) {
    to.max_handshakes = from.max_handshakes;
    to.strangers = from.strangers;
  }
  to.log = from.log;
  to.trace = from.trace;
  to.audit = from.audit;
  to.runtime = from.runtime;
}

/// The options of one kind of listener that all kinds have.
template <class Options>
ListenerOptions base_options(const Options& options) {
  ListenerOptions base{.slave_collection = options.slave_collection};
  copy_common_options(options, base);
  return base;
}

}  // namespace remsh
