// Options and result of send and fetch.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/operations/streams.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

namespace remsh {

/// Called with the progress of a transfer: the bytes done, and the total if it is known. At most ten times a second and
/// once at the end, in the thread that made the call.
using ProgressCallback = std::function<void(std::uint64_t done, std::optional<std::uint64_t> total)>;

/// Options of send() and fetch().
struct TransferOptions {
  bool overwrite = false;  ///< true: an existing destination is replaced, atomically
  /// Permission bits of the new file. nullopt: those of the source, or 0644 if it has none; a fetched file is then not
  /// writable for group and others.
  std::optional<std::uint32_t> mode = {};
  /// The new file (on the slave for send(), here for fetch()) is on the disk when the call returns, so that it survives
  /// a loss of power; if the disk fails, the call fails. This often costs some milliseconds. false: the file still
  /// appears only when complete, but for some time a loss of power may lose or empty it.
  bool durable = true;
  std::uint64_t max_bytes = UINT64_MAX;  ///< (fetch) a larger file ends the call with too_large
  ProgressCallback progress = {};
  CallDeadline deadline = {};  ///< applies to a fetch() even while the disk of this host hangs
  std::stop_token stop = {};
  std::string tag = {};  ///< any text for the AuditHook: the job or the user, for example
};

/// The result of send() and fetch().
struct TransferResult {
  std::uint64_t bytes = 0;
};

}  // namespace remsh
