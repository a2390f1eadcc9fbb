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

/// Told how far a transfer is: bytes done, and of how many, where that is known. At most ten times a second and once
/// at the end, in the thread that made the call.
using ProgressCallback = std::function<void(std::uint64_t done, std::optional<std::uint64_t> total)>;

/// Options of send() and fetch().
struct TransferOptions {
  bool overwrite = false;  ///< true: what is at the destination is replaced, atomically
  /// Permission bits of the new file. None: those of the source, else 0644; of a fetched one without those by which
  /// group and others could write.
  std::optional<std::uint32_t> mode = {};
  /// A new file, of send() on the slave and of fetch() here, is on the disk when the call returns, so that it survives
  /// a loss of power; a disk that cannot keep it fails the call. That costs what the disk takes, often some
  /// milliseconds. false: the file appears complete all the same, but may be lost, or empty, for some time after.
  bool durable = true;
  std::uint64_t max_bytes = UINT64_MAX;  ///< (fetch) more than this ends the call with too_large
  ProgressCallback progress = {};
  CallDeadline deadline = {};  ///< holds for a fetch() also while the disk of this host hangs
  std::stop_token stop = {};
  std::string tag = {};  ///< whatever an AuditHook is to be told of it: for whom it is done, for one
};

/// What a transfer moved.
struct TransferResult {
  std::uint64_t bytes = 0;
};

}  // namespace remsh
