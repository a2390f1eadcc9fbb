// Sources, sinks and options of send and fetch.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/operations/execute.hpp>

#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <variant>

namespace remsh {

/// Told how far a transfer is: bytes done, and of how many, where that is known. At most ten times a second and once
/// at the end, in the thread that made the call.
using ProgressCallback = std::function<void(std::uint64_t done, std::optional<std::uint64_t> total)>;

/// What to send: a local file by its path, bytes, or what a callback gives.
class Source {
 public:
  /// A local file, by a string, a literal or a std::filesystem::path.
  template <std::convertible_to<std::string> Path>
  Source(Path path) : what_(std::in_place_index<0>, std::move(path)) {}

  /// What a callback gives.
  template <std::convertible_to<InputCallback> Callback>
  Source(Callback callback) : what_(std::in_place_index<2>, std::move(callback)) {}

  /// These very bytes; they must live until the call returns.
  static Source memory(BytesView bytes) { return Source(bytes, 0); }

  [[nodiscard]] const std::variant<std::string, BytesView, InputCallback>& what() const noexcept { return what_; }

 private:
  Source(BytesView bytes, int) : what_(std::in_place_index<1>, bytes) {}
  std::variant<std::string, BytesView, InputCallback> what_;
};

/// Where to put what is fetched: a local file by its path, a string, or a callback.
class Sink {
 public:
  /// A local file, which appears under its name only when it is complete.
  template <std::convertible_to<std::string> Path>
  Sink(Path path) : what_(std::in_place_index<0>, std::move(path)) {}

  /// Given to a callback, piece by piece.
  template <std::convertible_to<OutputCallback> Callback>
  Sink(Callback callback) : what_(std::in_place_index<2>, std::move(callback)) {}

  /// A string that must live until the call returns; what it held is replaced.
  static Sink memory(Bytes& bytes) { return Sink(&bytes, 0); }

  [[nodiscard]] const std::variant<std::string, Bytes*, OutputCallback>& what() const noexcept { return what_; }

 private:
  Sink(Bytes* bytes, int) : what_(std::in_place_index<1>, bytes) {}
  std::variant<std::string, Bytes*, OutputCallback> what_;
};

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
  Deadline deadline = {};  ///< holds for a fetch() also while the disk of this host hangs
  std::stop_token stop = {};
  std::string tag = {};  ///< whatever an AuditHook is to be told of it: for whom it is done, for one
};

/// What a transfer moved.
struct TransferResult {
  std::uint64_t bytes = 0;
};

}  // namespace remsh
