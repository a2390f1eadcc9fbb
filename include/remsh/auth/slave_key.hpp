// SlaveKey: the key of one slave, read from its file.
#pragma once

#include <remsh/base/export.hpp>
#include <remsh/base/secret.hpp>

#include <string>

namespace remsh {

/// The key of a slave, and the name that it proves.
struct SlaveKey {
  std::string name;
  Secret key;
};

/// Reads a slave's own key file, which `remsh-slave keygen add NAME --slave-file FILE` and `remsh-slave enrol` write:
/// one line, `NAME KEY`.
///
///     const remsh::SlaveKey own = remsh::read_slave_key("w1.key");
///     remsh::SlaveServer server({.name = own.name, .key = own.key});
///
/// Blocks. Throws Error, with a message that says what to do: invalid_argument if the file is malformed, or if users
/// other than its owner can read or replace it; local_os_error if it cannot be read.
REMSH_API SlaveKey read_slave_key(const std::string& path);

}  // namespace remsh
