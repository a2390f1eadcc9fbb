// SlaveProtocol: the protocols that slaves may speak.
#pragma once

#include <remsh/base/export.hpp>

#include <memory>
#include <string>
#include <utility>

namespace remsh {

class WorkerProtocol;

/// Options of SlaveProtocol::remsh2().
struct Remsh2Options {
  /// Compress the data of streams (output of commands, files, trees) in both directions, for slaves that ask for it
  /// (`remsh-slave --compression` or SlaveOptions::compression). For slow links: docs/performance.md has figures, and
  /// docs/security.md says what it reveals. SlaveInfo::features of a slave has "zstd" if it is in use.
  bool compression = false;
};

/// A protocol that slaves may speak. A listener recognises it by the first bytes of a connection, or by a second
/// without any, and accepts those that are in the `protocols` of its options:
///
///     TcpSlaveListener listener({.slave_collection = slaves, .keyless = true,
///                                .protocols = {SlaveProtocol::remsh2(), SlaveProtocol::remsh1()}});
///
/// Copies are cheap. Thread-safe.
class REMSH_API SlaveProtocol {
 public:
  /// The protocol of this library and of remsh-slave: docs/protocol.md. Throws Error with unsupported if this library
  /// was built without zstd, and `compression` is set.
  [[nodiscard]] static SlaveProtocol remsh2(const Remsh2Options& options = {});

  /// The protocol of the original remsh of 2009: docs/remsh1.md says what its slaves cannot do. They have no keys, so
  /// the listener must have `keyless` set.
  [[nodiscard]] static SlaveProtocol remsh1();

  /// Workers of Buildbot as `buildbot-worker create-worker` makes them, with the protocol pb: docs/buildbot.md. They
  /// have passwords, from the same KeyRing or KeyFile as keys: KeyRing::register_password(). The master speaks first, a
  /// second after a worker has connected.
  [[nodiscard]] static SlaveProtocol buildbot_pb();

  /// Workers of Buildbot with the protocol msgpack_experimental_v7, whose output comes sooner and is changed less:
  /// docs/buildbot.md. Their passwords are sent as they are: use it on the loopback or with TLS.
  [[nodiscard]] static SlaveProtocol buildbot_msgpack();

  /// The name in SlaveInfo::protocol: "remsh 2".
  [[nodiscard]] std::string name() const;

  [[nodiscard]] bool operator==(const SlaveProtocol& other) const noexcept = default;

  /// For the library: the implementation of the protocol.
  explicit SlaveProtocol(std::shared_ptr<const WorkerProtocol> worker) noexcept : worker_(std::move(worker)) {}
  [[nodiscard]] const WorkerProtocol& worker() const noexcept { return *worker_; }

 private:
  std::shared_ptr<const WorkerProtocol> worker_;  // never null
};

}  // namespace remsh
