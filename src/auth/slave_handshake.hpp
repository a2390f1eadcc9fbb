// SlaveHandshake: the slave's side of the first four boxes of a connection; no I/O. docs/protocol.md section 4.
// As in master_handshake.hpp, bytes go in and steps come out, and the boxes are hashed as they come and go.
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

  /// What it means if the master's bytes end here.
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
