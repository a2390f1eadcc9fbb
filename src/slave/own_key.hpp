// OwnKey: the key by which a slave proves itself, and its name; from its options, or from a file that is read again.
#pragma once

#include "base/result.hpp"

#include <remsh/auth/slave_key.hpp>
#include <remsh/base/secret.hpp>
#include <remsh/slave/slave_server.hpp>

#include <mutex>
#include <optional>
#include <string>

namespace remsh {

/// What a slave is known by on its next connection. A key file is read for each connection, so that a new key needs no
/// restart; if it cannot be read, the key that was read before counts. Thread-safe.
class OwnKey {
 public:
  explicit OwnKey(const SlaveOptions& options) : name_(options.name), key_(options.key), file_(options.key_file) {}

  struct Current {
    std::string name;  ///< empty: that of the host
    std::optional<Secret> key;
    std::string notice;  ///< for the log: that there is a new key, or why the file did not count. Empty: nothing new
    bool is_trouble = false;  ///< the notice says why the file did not count
  };

  /// Blocks, on the disk. Fails if the file has never been read well.
  Result<Current> read();

 private:
  [[nodiscard]] Result<SlaveKey> read_file(const std::string& name) const;

  const std::string name_;
  const std::optional<Secret> key_;
  const std::string file_;
  std::mutex mutex_;
  std::optional<SlaveKey> last_;  // that was read well
  std::string last_notice_;
};

}  // namespace remsh
