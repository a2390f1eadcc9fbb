// AdmissionTerms: on what terms a listener admits the connections that come in at one of its sockets.
#pragma once

#include "transport/tls_engine.hpp"

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace remsh {

class Backend;
class Slave;

/// On what terms a listener admits the connections that come in at one of its sockets.
struct AdmissionTerms {
  bool keyless = false;                            ///< accept workers without a key, under names that have no key
  std::shared_ptr<const TlsServer> tls = {};       ///< null: without TLS
  std::optional<uid_t> user = {};                  ///< of the other side, if the system reports it
  std::string name = {};                           ///< the only name that is admitted; empty: any
  std::map<std::string, std::string> labels = {};  ///< labels of the slave, in addition to those of its key

  /// Called with the slave object before its setup(), on a service thread.
  std::function<void(const std::shared_ptr<Slave>&, Backend&)> on_made = {};
};

}  // namespace remsh
