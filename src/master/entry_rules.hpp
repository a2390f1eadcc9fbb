// The rules for entry: which workers are admitted, given what they have proven, in any protocol.
#pragma once

#include "base/result.hpp"
#include "master/names.hpp"

#include <optional>
#include <string>

namespace remsh {

/// What a listener requires of a worker whose handshake is over.
struct EntryRules {
  bool keyless = false;           ///< workers without a key are accepted
  std::string tls_identity = {};  ///< the "NAME:KEY_ID" that TLS has proven; empty: none
  bool name_has_key = false;      ///< a listener of the collection has a key for the name, even if expired or used
};

/// Why a worker is not admitted. nullopt if these rules admit it; then Names decides whether the name is free. The
/// reason must not be sent to the worker. Admission calls this for each worker, once its handshake is over.
///
/// - A worker that has proven nothing is admitted only if such workers are accepted, and never under a name that has
///   a key.
/// - A worker whose name TLS has proven cannot have another name.
/// - A worker that the master has started under its name is treated as one with a key.
[[nodiscard]] std::optional<Failure> why_rejected(const Names::Newcomer& newcomer, const EntryRules& rules);

}  // namespace remsh
