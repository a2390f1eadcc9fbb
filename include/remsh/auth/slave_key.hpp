// SlaveKey: the key that a slave has of its own, from its file.
#pragma once

#include <remsh/base/export.hpp>
#include <remsh/base/secret.hpp>

#include <string>

namespace remsh {

/// What a slave proves itself by, and for which name.
struct SlaveKey {
  std::string name;
  Secret key;
};

/// Reads a slave's own key file, as `remsh-slave keygen add NAME --slave-file FILE` and `remsh-slave enrol` write it:
/// one line, `NAME KEY`.
///
///     const remsh::SlaveKey own = remsh::read_slave_key("w1.key");
///     remsh::SlaveServer server({.name = own.name, .key = own.key});
///
/// Blocks. Throws Error, with a sentence that says what to do: invalid_argument where the file is not as it should be,
/// or where others than its owner can read it or put another one in its place; local_os_error where it cannot be read.
REMSH_API SlaveKey read_slave_key(const std::string& path);

}  // namespace remsh
