// AuthKey: the secret that two programs share, and its way to a child.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/base/error.hpp>
#include <remsh/base/export.hpp>
#include <remsh/base/secret.hpp>

#include <chrono>
#include <vector>

namespace remsh {

/// Thrown if one side could not prove that it has the key: Python's name for it.
using AuthenticationError = AuthError;

/// The secret that a Listener and its Clients share: any bytes, as Python's `authkey`. Its memory is wiped when it is
/// destroyed or moved from. It has no stream operator and no formatter.
///
/// Anyone who records a proof can try keys offline, so a key must not be guessable: make it with random_authkey().
class REMSH_API AuthKey {
 public:
  /// Throws Error with invalid_argument if there are no bytes.
  explicit AuthKey(BytesView bytes);
  AuthKey(const Secret& secret);
  AuthKey(const AuthKey& other) = default;
  AuthKey(AuthKey&& other) noexcept = default;
  AuthKey& operator=(AuthKey other) noexcept;
  ~AuthKey();

  [[nodiscard]] BytesView bytes() const noexcept { return {bytes_.data(), bytes_.size()}; }

 private:
  std::vector<char> bytes_;  // not a string: a move would leave the bytes of a short one behind
};

/// A new key: 32 random bytes.
REMSH_API AuthKey random_authkey();

/// A pipe that holds a key for one child process, so that the key is neither in the arguments nor in the environment of
/// the child, which other users or other processes of this user can read. It may be destroyed when the child has
/// started:
///
///     const remsh::AuthKeyPipe pipe(key);
///     posix_spawn_file_actions_adddup2(&actions, pipe.descriptor(), 3);  // the child reads its key from 3
///
/// The child reads it with read_authkey(3), a child in Python with os.read(3, 4096). examples/messages_child.cpp is a
/// whole program. The descriptor is close-on-exec:
/// only a child that is given it gets it.
class REMSH_API AuthKeyPipe {
 public:
  /// Throws Error with too_large for a key that does not fit into a pipe (4096 bytes), and with local_os_error.
  explicit AuthKeyPipe(const AuthKey& key);
  AuthKeyPipe(AuthKeyPipe&& other) noexcept;
  AuthKeyPipe& operator=(AuthKeyPipe&&) = delete;
  ~AuthKeyPipe();

  [[nodiscard]] int descriptor() const noexcept { return read_end_; }

 private:
  int read_end_ = -1;
};

/// Reads a key from a descriptor until its end, and closes the descriptor. Throws Error with invalid_argument if the
/// input is empty, too_large if it has over 4096 bytes, local_os_error, and Timeout.
REMSH_API AuthKey read_authkey(int descriptor, Deadline deadline = std::chrono::seconds(10));

}  // namespace remsh
