// The rules for entry: who is admitted with what it has proven, whatever protocol it speaks.
#pragma once

#include "base/result.hpp"
#include "master/names.hpp"

#include <optional>
#include <string>

namespace remsh {

/// What a listener asks of a worker whose handshake is over.
struct EntryRules {
  bool keyless = false;           ///< workers that prove nothing are accepted
  std::string tls_identity = {};  ///< "NAME:KEY_ID" that TLS has proven; empty: none
  bool name_has_key = false;      ///< any listener of the collection has a key for the name, be it expired or used
};

/// Why a worker is not admitted; nullopt: these rules admit it, and Names decides whether the name is free. What is
/// refused here must not be explained to the worker. Admission applies this to each worker, once its handshake is over.
///
/// - A worker that has proven nothing is admitted only where such workers are accepted, and never under a name that has
///   a key.
/// - A worker that TLS has proven to be somebody is nobody else.
/// - A worker that the master has started under its name is as good as one with a key.
[[nodiscard]] std::optional<Failure> why_rejected(const Names::Newcomer& newcomer, const EntryRules& rules);

}  // namespace remsh
