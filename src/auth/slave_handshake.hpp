// SlaveHandshake: the slave's side of the first four boxes of a connection; no I/O. docs/protocol.md section 4. As in
// master_handshake.hpp, bytes go in and steps come out, and the boxes are hashed in order.
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
#include <optional>
#include <string>
#include <vector>

namespace remsh::auth {

/// The slave's side of one connection. One thread at a time.
class SlaveHandshake {
 public:
  struct Options {
    Registration registration;       ///< the name and features must satisfy is_slave_name() and is_feature_name()
    Bytes nonce;                     ///< nonce_size random bytes, new for every connection
    std::optional<Secret> key = {};  ///< nullopt: keyless, and the master does not prove anything
    Bytes binding = {};              ///< as for MasterHandshake
    bool enrols = false;             ///< the key is an invitation, to be exchanged for a key
  };

  struct Step {
    enum class Action : std::uint8_t {
      read,      ///< more bytes are needed
      send,      ///< send `bytes`, then read on
      open,      ///< the handshake is over; `bytes` are the beginning of the master's calls
      enrolled,  ///< close; `new_key` is the slave's own key: store it, and reconnect with it
      refused,   ///< close; the master's welcome refuses this slave: see `refusal`, `retry` and `failure`
      failed,    ///< close; try again after the usual pause: see `failure`
    };
    Action action = Action::read;
    Bytes bytes = {};
    std::chrono::milliseconds keepalive{0};
    std::vector<std::string> features = {};  ///< with `open`: those in force; ascending
    Refusal refusal = Refusal::rejected;
    std::optional<std::chrono::milliseconds> retry = {};
    std::optional<Secret> new_key = {};
    Failure failure = {};  ///< refused, auth_failed or protocol_error, and a message for the log
  };

  explicit SlaveHandshake(Options options);

  /// Returns the hello, to be sent first.
  Bytes start();

  /// Takes the next bytes of the master. After `open`, `enrolled`, `refused` and `failed` any byte fails.
  Step feed(BytesView bytes);

  /// The failure if the master's bytes end here.
  [[nodiscard]] Failure at_end() const;

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
  std::optional<Sha256> transcript_;  // of the boxes so far; nullopt without a key
};

}  // namespace remsh::auth
