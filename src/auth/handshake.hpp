// MasterHandshake and SlaveHandshake: the first four boxes of a connection; no I/O. docs/protocol.md section 4.
//
// Bytes go in as they come, steps come out. Time limits and the delay of a failure are the driver's; nonces are given.
//
// With keys, the bodies of the four boxes are hashed as they come and go, behind what the connection is bound to. The
// functions that take a box, and make the next one, add them; those that prove and check are at the same places.
#pragma once

#include "auth/handshake_step.hpp"
#include "auth/hmac.hpp"
#include "base/result.hpp"

#include <remsh/auth/registration.hpp>
#include <remsh/base/bytes.hpp>
#include <remsh/base/secret.hpp>
#include <remsh/connection/box_codec.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace remsh::auth {

inline constexpr std::size_t nonce_size = 32;
inline constexpr std::size_t binding_size = 32;
inline constexpr std::chrono::milliseconds max_keepalive{3'600'000};

/// True for [A-Za-z0-9][A-Za-z0-9._-]{0,63}.
[[nodiscard]] bool is_slave_name(BytesView text) noexcept;

/// True for [a-z0-9-]{1,32}.
[[nodiscard]] bool is_feature_name(BytesView text) noexcept;

/// The word on the wire: "name_in_use".
[[nodiscard]] std::string_view to_string(Refusal refusal) noexcept;

/// The Refusal of a word; unknown ones are taken like `rejected`.
[[nodiscard]] Refusal refusal_of(BytesView word) noexcept;

/// Takes bytes until one box of a handshake is whole. One thread at a time.
class BoxReader {
 public:
  explicit BoxReader(const char* peer) : peer_(peer) {}

  /// Begins to wait for one box of at most `bytes`; `place` names it in failures: "while hello was awaited".
  void expect(std::size_t bytes, const char* place);

  /// The box, null where more bytes are needed, or why these are no boxes. The box lives as long as `bytes` and until
  /// the next call.
  Result<const BoxView*> feed(BytesView bytes);

  /// The bytes behind the box.
  [[nodiscard]] Bytes rest() const { return decoder_.unread(); }

  /// Fails unless the box is canonical and its keys that begin with '_' are exactly these.
  [[nodiscard]] Result<void> check_form(const BoxView& box, std::initializer_list<BytesView> envelope) const;

  /// Fails where the box has keys that only resuming gives a meaning.
  [[nodiscard]] Result<void> check_reserved(const BoxView& box) const;

  /// The value of a key that must be there and be `good`.
  template <class Predicate>
  Result<BytesView> require(const BoxView& box, BytesView key, Predicate good) const;

  /// protocol_error: who did what, and where in the handshake.
  [[nodiscard]] Failure broken(const std::string& what) const;

  /// connection_lost: the bytes end here.
  [[nodiscard]] Failure at_end() const;

 private:
  const char* peer_;
  const char* place_ = "";
  Bytes opening_;  // the first two bytes of the connection: they tell what a peer speaks that speaks something else
  BoxDecoder decoder_;
};

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

  /// What it means where the slave's bytes end here.
  [[nodiscard]] Failure at_end() const;

  /// Who it is; complete once registered. `features` are those in force.
  [[nodiscard]] const Registration& registration() const noexcept { return registration_; }

  /// It came with an invitation, and with nothing in mind but to get a key.
  [[nodiscard]] bool is_enrolment() const noexcept { return is_enrolment_; }

  /// What the owner wrote to the key that it proved.
  [[nodiscard]] const std::map<std::string, std::string>& labels() const noexcept { return labels_; }

  /// The new key, and the welcome that tells the slave to take it. Store the key and use the invitation up, durably and
  /// in one step, before the welcome is sent, and then close; where that fails, send what refuse() gives instead.
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

/// The slave's side of one connection. One thread at a time.
class SlaveHandshake {
 public:
  struct Options {
    Registration registration;       ///< the name and the features as is_slave_name() and is_feature_name() have them
    Bytes nonce;                     ///< nonce_size random bytes, new for every connection
    std::optional<Secret> key = {};  ///< none: keyless, and then no master has to prove anything
    Bytes binding = {};              ///< as a master's
    bool enrols = false;             ///< the key is an invitation, to be changed for a key
  };

  struct Step {
    enum class Action : std::uint8_t {
      read,      ///< more bytes are needed
      send,      ///< send `bytes`, then read on
      open,      ///< the master's calls begin, the first of them with `bytes`
      enrolled,  ///< close; `new_key` is the slave's own: write it down, and come again with it
      refused,   ///< close; the master said so with authority: see `refusal`, `retry` and `failure`
      failed,    ///< close; try again after the usual pause: see `failure`
    };
    Action action = Action::read;
    Bytes bytes = {};
    std::chrono::milliseconds keepalive{0};
    Refusal refusal = Refusal::rejected;
    std::optional<std::chrono::milliseconds> retry = {};
    std::optional<Secret> new_key = {};
    Failure failure = {};  ///< refused, auth_failed or protocol_error, and a sentence for the log
  };

  explicit SlaveHandshake(Options options);

  /// The hello, to be sent first.
  Bytes start();

  /// The next bytes of the master. After `open`, `enrolled`, `refused` and `failed` any byte fails.
  Step feed(BytesView bytes);

  /// What it means where the master's bytes end here.
  [[nodiscard]] Failure at_end() const;

  /// The features in force, once open; ascending.
  [[nodiscard]] const std::vector<std::string>& features() const noexcept { return features_; }

 private:
  enum class State : std::uint8_t { connected, challenge, welcome, over };

  Result<Bytes> answer_challenge(const BoxView& box);
  Result<Step> take_welcome(const BoxView& box);
  Result<void> check_proof(const BoxView& box);
  [[nodiscard]] Result<void> check_answer(const BoxView& box, BytesView tag) const;

  Options options_;
  State state_ = State::connected;
  BoxReader reader_{"the master"};
  std::vector<std::string> features_;
  std::optional<Sha256> transcript_;  // of the boxes so far; none without a key
};

}  // namespace remsh::auth
