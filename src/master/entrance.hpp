// Entrance: how connections come in at one door of a listener.
#pragma once

#include "transport/tls_engine.hpp"

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace remsh {

class Backend;
class Slave;

/// How connections come in at one door of a listener.
struct Entrance {
  bool keyless = false;                       ///< who proves nothing is let in, under a name that has no key
  std::shared_ptr<const TlsServer> tls = {};  ///< null: plain
  std::optional<uid_t> user = {};             ///< who is on the other side, where the system says so
  std::string name = {};                      ///< the only name that is admitted here; empty: any

  /// Told of the slave object before its setup() is called, on a service thread.
  std::function<void(const std::shared_ptr<Slave>&, Backend&)> on_made = {};
};

}  // namespace remsh
