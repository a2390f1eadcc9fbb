// Workplace: where a session's relative paths begin.
#pragma once

#include "base/result.hpp"
#include "os/directory.hpp"

#include <memory>
#include <mutex>
#include <optional>

namespace remsh {

/// The base directory of a slave and the current one of a session. Thread-safe; the process's own never changes.
class Workplace {
 public:
  /// Makes the base directory where it is missing.
  static Result<std::shared_ptr<Workplace>> open(const Bytes& basedir);

  [[nodiscard]] const Directory& base() const noexcept { return *base_; }

  /// The session's directory; stays valid for who holds it when another one is set.
  [[nodiscard]] std::shared_ptr<const Directory> current() const;

  /// Nothing: back to the base directory; empty: no change. Gives the absolute path.
  Result<Bytes> set_current(const std::optional<Bytes>& path);

 private:
  explicit Workplace(std::shared_ptr<const Directory> base) : base_(base), current_(std::move(base)) {}
  const std::shared_ptr<const Directory> base_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Directory> current_;
};

}  // namespace remsh
