// OwnKey: the key and the name of a slave, from its options, or from a file that is read again.
#pragma once

#include "base/result.hpp"

#include <remsh/auth/slave_key.hpp>
#include <remsh/base/secret.hpp>
#include <remsh/slave/slave_server.hpp>

#include <mutex>
#include <optional>
#include <string>

namespace remsh {

/// The name and the key for a slave's next connection. A key file is read for each connection, so that a new key needs
/// no restart. If it cannot be read, the last key that was read is used. Thread-safe.
class OwnKey {
 public:
  explicit OwnKey(const SlaveOptions& options) : name_(options.name), key_(options.key), file_(options.key_file) {}

  struct Current {
    std::string name;  ///< empty: that of the host
    std::optional<Secret> key;
    std::string notice;  ///< for the log: that the key is new, or why the file was not used. Empty if nothing is new
    bool is_trouble = false;  ///< the notice says why the file was not used
  };

  /// Blocks on the disk. Fails if the file has never been read successfully.
  Result<Current> read();

 private:
  [[nodiscard]] Result<SlaveKey> read_file(const std::string& name) const;

  const std::string name_;
  const std::optional<Secret> key_;
  const std::string file_;
  std::mutex mutex_;
  std::optional<SlaveKey> last_;  // the last that was read successfully
  std::string last_notice_;
};

}  // namespace remsh
