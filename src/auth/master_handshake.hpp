// MasterHandshake: the master's side of the first four boxes of a connection; no I/O. docs/protocol.md section 4.
//
// Bytes go in as they arrive, steps come out. The driver keeps time limits and the delay of a failure; nonces are
// inputs.
//
// With keys, the bodies of the four boxes are hashed in order, after the channel binding. The functions that take a box
// or make the next one add them to the hash; proofs are made and checked at the same places.
#pragma once

#include "auth/box_reader.hpp"
#include "auth/handshake_grammar.hpp"
#include "auth/handshake_step.hpp"
#include "auth/hmac.hpp"
#include "auth/registration.hpp"
#include "base/result.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/base/secret.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace remsh::auth {

/// The result of looking up a name and a kid in a master's keys.
struct KeyAnswer {
  std::optional<Secret> key = {};                  ///< nullopt: the slave is rejected, and `reason` says why
  bool is_invitation = false;                      ///< valid for one enrolment, and for nothing else
  std::map<std::string, std::string> labels = {};  ///< the labels of the key
  std::string reason = "there is no such key";     ///< for the log: "unknown name", "it has expired"
};

/// The keys of a master, as one connection sees them, without those that the peer's address excludes. Called by the
/// thread that feeds the handshake, so the functions must not block or throw.
struct MasterKeys {
  Secret decoy;  ///< used in place of missing keys: random, and constant while the process lives
  std::function<KeyAnswer(BytesView name, BytesView kid)> find;
};

/// The master's side of one connection. One thread at a time.
///
///     auto step = handshake.feed(bytes);            // as they come, until it is registered
///     ... handshake.registration() ...              // arbitration of the name, slave factory
///     send(handshake.open(keepalive));              // or refuse(), or enrol() if is_enrolment()
class MasterHandshake {
 public:
  struct Options {
    std::vector<std::string> features = {};       ///< features that this master uses if a slave offers them
    Bytes nonce;                                  ///< nonce_size random bytes, new for every connection
    bool keyless_allowed = true;                  ///< false: a hello without a key is answered with the failure
    std::shared_ptr<const MasterKeys> keys = {};  ///< null: slaves cannot use keys here
    Bytes binding = {};       ///< the exporter value of TLS for this connection, binding_size bytes; empty without TLS
    Bytes psk_identity = {};  ///< "NAME:KID" that TLS has proven, the only acceptable key; empty: none
    bool enrolment_allowed = false;  ///< only under TLS
  };

  using Step = HandshakeStep;
  using Enrolment = auth::Enrolment;

  explicit MasterHandshake(Options options);

  /// Takes the next bytes of the slave. After `registered`, `fail` and `close` any byte closes.
  Step feed(BytesView bytes);

  /// The failure if the slave's bytes end here.
  [[nodiscard]] Failure at_end() const;

  /// The slave's registration; complete once registered. `features` are those in force.
  [[nodiscard]] const Registration& registration() const noexcept { return registration_; }

  /// True if the slave used an invitation, to get a key.
  [[nodiscard]] bool is_enrolment() const noexcept { return is_enrolment_; }

  /// The labels of the key that it proved.
  [[nodiscard]] const std::map<std::string, std::string>& labels() const noexcept { return labels_; }

  /// The new key, and the welcome that makes the slave use it. Store the key and mark the invitation as used, durably
  /// and in one step, before the welcome is sent, and then close; if that fails, send what refuse() returns instead.
  [[nodiscard]] Enrolment enrol() const;

  /// The welcome for a slave that is admitted. The keepalive is limited to between 1 ms and max_keepalive.
  Bytes open(std::chrono::milliseconds keepalive);

  /// The failure, in place of a welcome, for a slave that the caller rejects although its proof was right or not
  /// required. Empty before the slave's first box. Send it failure_delay after the slave's last byte.
  Bytes reject();

  /// The welcome for a slave that is refused; the reason is cut to 256 bytes. The slave retries after `retry`, or after
  /// its own pause.
  Bytes refuse(Refusal refusal, std::string_view reason, std::optional<std::chrono::milliseconds> retry = {});

 private:
  enum class State : std::uint8_t { hello, prove, registered, over };

  Result<Bytes> answer_hello(const BoxView& box);
  Result<void> take_prove(const BoxView& box);
  Result<void> check_keyless(const BoxView& box);
  Result<void> check_proof(const BoxView& box);
  [[nodiscard]] Bytes signed_welcome(Box welcome) const;
  Result<void> take_call(const BoxView& box, BytesView command);
  Step give_up(Failure failure);
  Bytes answer_prove(Box welcome);

  Options options_;
  State state_ = State::hello;
  BoxReader reader_{"the slave"};
  Bytes tag_;  // the tag of the call that is answered next
  Registration registration_;
  bool is_enrolment_ = false;
  std::map<std::string, std::string> labels_;
  std::optional<Secret> key_;         // proven
  std::optional<Sha256> transcript_;  // of the boxes so far; nullopt without a key
};

}  // namespace remsh::auth
