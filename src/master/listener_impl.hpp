// SlaveListener::Impl: what the listeners of this library reach of their base.
#pragma once

#include "master/admissions.hpp"

#include <remsh/master/slave_listener.hpp>

#include <memory>

namespace remsh {

struct SlaveListener::Impl {
  /// For connections of which nothing is known but what they say of themselves.
  void admit(std::unique_ptr<Transport> connection, Admissions::Done done = {}) const {
    const bool keyless = admissions->options().keyless || connection->is_inherited();
    admissions->admit(std::move(connection), {.keyless = keyless}, std::move(done));
  }

  std::shared_ptr<Admissions> admissions;
};

/// What the options of one kind of listener have in common with those of all. (They are not derived from them, since a
/// designated initializer cannot name a member of a base.)
template <class Options>
ListenerOptions base_options(const Options& options) {
  ListenerOptions base{.slave_collection = options.slave_collection};
  base.slave_class = options.slave_class;
  if constexpr (requires { options.remsh1; }) base.remsh1 = options.remsh1;
  if constexpr (requires { options.keys; }) base.keys = options.keys;
  if constexpr (requires { options.keyless; }) base.keyless = options.keyless;
  base.keepalive = options.keepalive;
  base.keepalive_patience = options.keepalive_patience;
  base.handshake_timeout = options.handshake_timeout;
  base.arbitration_timeout = options.arbitration_timeout;
  if constexpr (requires { options.max_handshakes; }) {
    base.max_handshakes = options.max_handshakes;
    base.strangers = options.strangers;
  }
  base.log = options.log;
  base.trace = options.trace;
  base.audit = options.audit;
  base.runtime = options.runtime;
  return base;
}

}  // namespace remsh
