// MasterHandshake: the master's side of the first four boxes of a connection; no I/O. docs/protocol.md section 4.
//
// Bytes go in as they come, steps come out. Time limits and the delay of a failure are the driver's; nonces are given.
//
// With keys, the bodies of the four boxes are hashed as they come and go, after what the connection is bound to. The
// functions that take a box, and make the next one, add them; those that prove and check do it at the same places.
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

/// What a master's keys have for a name and a kid.
struct KeyAnswer {
  std::optional<Secret> key = {};                  ///< none: nobody gets in, and `reason` says why
  bool is_invitation = false;                      ///< good for one enrolment, and for nothing else
  std::map<std::string, std::string> labels = {};  ///< what the owner wrote to it
  std::string reason = "there is no such key";     ///< for the log: "unknown name", "it has expired"
};

/// The keys of a master, as one connection sees them: what the peer's address rules out is not there. Asked by the
/// thread that feeds the handshake, so they must not block, nor throw.
struct MasterKeys {
  Secret decoy;  ///< stands in for keys that are not there: random, for as long as the process lives
  std::function<KeyAnswer(BytesView name, BytesView kid)> find;
};

/// The master's side of one connection. One thread at a time.
///
///     auto step = handshake.feed(bytes);            // as they come, until it is registered
///     ... handshake.registration() ...              // arbitration of the name, slave factory
///     send(handshake.open(keepalive));              // or refuse(), or enrol() where it is_enrolment()
class MasterHandshake {
 public:
  struct Options {
    std::vector<std::string> features = {};       ///< that this master wants where a slave offers them
    Bytes nonce;                                  ///< nonce_size random bytes, new for every connection
    bool keyless_allowed = true;                  ///< false: a hello without a key is answered by the failure
    std::shared_ptr<const MasterKeys> keys = {};  ///< null: slaves have none here
    Bytes binding = {};              ///< what TLS exports for this connection, binding_size bytes; empty without TLS
    Bytes psk_identity = {};         ///< "NAME:KID" that TLS has proven; empty: none. Another key is not accepted
    bool enrolment_allowed = false;  ///< only under TLS
  };

  using Step = HandshakeStep;
  using Enrolment = auth::Enrolment;

  explicit MasterHandshake(Options options);

  /// The next bytes of the slave. After `registered`, `fail` and `close` any byte closes.
  Step feed(BytesView bytes);

  /// What it means if the slave's bytes end here.
  [[nodiscard]] Failure at_end() const;

  /// Who it is; complete once registered. `features` are those in force.
  [[nodiscard]] const Registration& registration() const noexcept { return registration_; }

  /// It came with an invitation, and with nothing in mind but to get a key.
  [[nodiscard]] bool is_enrolment() const noexcept { return is_enrolment_; }

  /// What the owner wrote to the key that it proved.
  [[nodiscard]] const std::map<std::string, std::string>& labels() const noexcept { return labels_; }

  /// The new key, and the welcome that tells the slave to take it. Store the key and use the invitation up, durably and
  /// in one step, before the welcome is sent, and then close; if that fails, send what refuse() returns instead.
  [[nodiscard]] Enrolment enrol() const;

  /// The welcome of a slave that is let in. The keepalive is brought within 1 ms and max_keepalive.
  Bytes open(std::chrono::milliseconds keepalive);

  /// The failure, in place of a welcome, for a slave that the caller does not believe although its proof was right, or
  /// none was asked for. Empty before the slave's first box. To be sent failure_delay after the slave's last byte.
  Bytes reject();

  /// The welcome of one that is not; the reason is cut to 256 bytes. It comes back after `retry`, else when it likes.
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
  Bytes tag_;  // of the call that is answered next
  Registration registration_;
  bool is_enrolment_ = false;
  std::map<std::string, std::string> labels_;
  std::optional<Secret> key_;         // proven
  std::optional<Sha256> transcript_;  // of the boxes so far; none without a key
};

}  // namespace remsh::auth
