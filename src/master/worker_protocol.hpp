// WorkerProtocol: how a master talks with one kind of worker. All protocols are added through this interface.
//
// To add a protocol, write
//   - a subclass of WorkerProtocol, which recognises the first bytes of a connection,
//   - a subclass of WorkerHandshake, which leads from the first byte to a registered worker, without I/O,
//   - a subclass of AdmittedBackend, which runs operations, and fails those that the protocol does not have with
//     no_such_operation(),
//   - a function of SlaveProtocol by which users choose it, and its entry in known_protocols() (slave_protocol.cpp).
// Nothing else in the library names a protocol. A handshake reports what its worker has proven. Which worker may have
// which name is decided by admission (entry_rules.hpp, names.hpp), in the same way for all protocols.
// tests/unit/master/worker_protocol_test.cpp has a small protocol from end to end.
#pragma once

#include "auth/handshake_step.hpp"
#include "auth/key_password.hpp"
#include "auth/master_handshake.hpp"
#include "auth/registration.hpp"
#include "base/result.hpp"
#include "master/admitted_backend.hpp"
#include "master/proof.hpp"
#include "transport/loop.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace remsh {

/// What the first bytes of a connection show about one protocol.
enum class Recognition : std::uint8_t {
  no,         ///< they are not of this protocol
  need_more,  ///< they may be: more bytes are needed
  yes,        ///< they are
};

/// The passwords by which a name can be proven.
using FindPasswords = std::function<std::vector<auth::PasswordAnswer>(std::string_view name)>;

/// What admission knows of a connection before its handshake.
struct NewConnection {
  bool keyless = false;                               ///< workers without a key are accepted
  std::shared_ptr<const auth::MasterKeys> keys = {};  ///< that may be proven from its address; null: none
  FindPasswords passwords = {};                       ///< the same for passwords; empty: none
  bool is_tls = false;
  Bytes binding = {};       ///< what TLS exports for this connection; empty without TLS
  Bytes tls_identity = {};  ///< the "NAME:KEY_ID" that TLS has proven; empty: none
};

/// Why a registered worker is not admitted, as it is sent to the worker.
struct EntryRefusal {
  auth::Refusal refusal = auth::Refusal::rejected;
  std::string reason = {};
  std::optional<std::chrono::milliseconds> retry = {};  ///< when it may come again; nullopt: at any time

  /// The retry of a worker that is refused because of others, which may be gone soon.
  static constexpr std::chrono::milliseconds usual_retry{2000};
};

/// The handshake of one worker. No I/O: admission moves the bytes, enforces the time limits and decides which workers
/// are admitted. One thread at a time, except that labels() and make_backend() may be called while feed() runs.
class WorkerHandshake {
 public:
  using Step = auth::HandshakeStep;

  WorkerHandshake() = default;
  WorkerHandshake(const WorkerHandshake&) = delete;
  WorkerHandshake& operator=(const WorkerHandshake&) = delete;
  virtual ~WorkerHandshake() = default;

  /// What the master sends first, if its protocol says so (WorkerProtocol::silence_before_sending).
  virtual Bytes start() { return {}; }

  /// The next bytes of the worker, from the first byte on. After `registered`, `fail` and `close` any byte closes.
  virtual Step feed(BytesView bytes) = 0;

  /// The failure if the bytes of the worker end here.
  [[nodiscard]] virtual Failure at_end() const = 0;

  // Of a registered worker.

  [[nodiscard]] virtual const Registration& registration() const noexcept = 0;

  /// What the worker has proven in this handshake: `key` if it knows the secret that belongs to its name, otherwise
  /// `none`.
  [[nodiscard]] virtual Proof proof() const noexcept = 0;

  /// The labels that the owner of the keys gave to the key that the worker has proven.
  [[nodiscard]] virtual std::map<std::string, std::string> labels() const { return {}; }

  /// Set if the worker came only to get a key for an invitation. Its welcome is sent in place of open().
  [[nodiscard]] virtual std::optional<auth::Enrolment> enrol() const { return {}; }

  /// The back end that drives the worker from now on. AdmittedBackend::open() is called after the bytes of open() are
  /// sent.
  [[nodiscard]] virtual std::shared_ptr<AdmittedBackend> make_backend() = 0;

  // The master's last bytes in the handshake, one of these:

  /// The worker is admitted.
  virtual Bytes open() = 0;

  /// The worker is not admitted, and may learn why.
  virtual Bytes refuse(const EntryRefusal& refusal) = 0;

  /// The worker is not admitted, and must not learn why: its proof is not enough. Also called in place of the whole
  /// handshake, for workers of a protocol that the listener does not accept.
  virtual Bytes reject() = 0;
};

/// What a protocol needs to know of a listener.
struct WorkerHost {
  std::shared_ptr<Loop> loop;
  std::chrono::milliseconds keepalive{};
  std::chrono::milliseconds keepalive_patience{};
  AdmittedBackend::Owner owner;
};

/// Begins the handshake with one worker of a listener. Called on the loop.
using BeginHandshake = std::function<std::unique_ptr<WorkerHandshake>(NewConnection)>;

/// A protocol that workers speak. Stateless; thread-safe.
class WorkerProtocol {
 public:
  WorkerProtocol() = default;
  WorkerProtocol(const WorkerProtocol&) = delete;
  WorkerProtocol& operator=(const WorkerProtocol&) = delete;
  virtual ~WorkerProtocol() = default;

  /// "remsh 2": for SlaveInfo::protocol and for errors.
  [[nodiscard]] virtual std::string_view name() const noexcept = 0;

  /// What a connection that recognise() takes for this protocol speaks, in a sentence: name(), if that is certain.
  [[nodiscard]] virtual std::string_view seen_as() const noexcept { return name(); }

  /// Whether its workers can prove keys. If not, it is of use only at listeners that accept workers without keys.
  [[nodiscard]] virtual bool has_keys() const noexcept = 0;

  /// Whether its workers need a certificate of the master under TLS, where others prove their keys in the handshake.
  [[nodiscard]] virtual bool needs_certificate() const noexcept { return false; }

  /// Whether a worker runs one operation at a time. Only then may its back end hold a thread for each operation
  /// (BlockingBackend): the number of threads must not grow with the number of operations.
  [[nodiscard]] virtual bool does_one_operation_at_a_time() const noexcept = 0;

  /// What the bytes so far show. `opening` is never empty, and begins with the first byte each time. The bytes come
  /// from a stranger, and may be anything. It must answer `yes` or `no` after a bounded number of bytes.
  [[nodiscard]] virtual Recognition recognise(BytesView opening) const = 0;

  /// For a protocol in which the master sends first: how long it waits for a worker of another protocol to speak. 0:
  /// not at all, so that the listener can have no other protocol. nullopt: the worker sends first.
  [[nodiscard]] virtual std::optional<Duration> silence_before_sending() const noexcept { return {}; }

  /// Prepares for the workers of one listener. What they share lives in the returned function.
  [[nodiscard]] virtual BeginHandshake serve(WorkerHost host) const = 0;
};

/// The failure of an operation that the protocol of the worker does not have.
[[nodiscard]] Failure no_such_operation(std::string_view protocol, std::string_view operation);

}  // namespace remsh
