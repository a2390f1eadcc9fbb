// SlaveListener::Impl: what the listeners of this library reach of their base.
#pragma once

#include "master/admissions.hpp"

#include <remsh/master/slave_listener.hpp>

#include <memory>

namespace remsh {

struct SlaveListener::Impl {
  std::shared_ptr<Admissions> admissions;
};

/// What the options of one kind of listener have in common with those of all. (They are not derived from them, since a
/// designated initializer cannot name a member of a base.)
template <class Options>
ListenerOptions base_options(const Options& options) {
  ListenerOptions base{.slave_collection = options.slave_collection};
  base.slave_class = options.slave_class;
  if constexpr (requires { options.remsh1; }) base.remsh1 = options.remsh1;
  base.keepalive = options.keepalive;
  base.keepalive_patience = options.keepalive_patience;
  base.handshake_timeout = options.handshake_timeout;
  base.arbitration_timeout = options.arbitration_timeout;
  if constexpr (requires { options.max_handshakes; }) base.max_handshakes = options.max_handshakes;
  base.log = options.log;
  base.trace = options.trace;
  base.audit = options.audit;
  base.runtime = options.runtime;
  return base;
}

}  // namespace remsh
