// The proof of a shared key, as Python's connections make it: state machines without I/O.
#pragma once

#include "base/result.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/messages/auth_key.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

namespace remsh::messages {

/// The longest message of a proof.
inline constexpr std::size_t most_in_proof = 256;

/// What to do after a message of a proof has come.
struct ProofStep {
  enum class Then : std::uint8_t {
    read,   ///< the next message
    done,   ///< the proof is over
    close,  ///< it has failed: see `failure`
  };
  Then then = Then::read;
  Bytes send = {};  ///< first, if it is not empty
  Failure failure = {};
};

/// The random bytes of a new challenge.
Bytes new_nonce();

/// One side of a proof. One thread at a time.
class ProofSide {
 public:
  ProofSide() = default;
  ProofSide(const ProofSide&) = delete;
  ProofSide& operator=(const ProofSide&) = delete;
  virtual ~ProofSide() = default;

  /// The first message; empty if the other side sends first.
  [[nodiscard]] virtual Bytes begin() const = 0;

  /// Handles the next message.
  virtual ProofStep take(BytesView message) = 0;
};

/// Sends a challenge, and judges the answer.
class ChallengeDeliverer final : public ProofSide {
 public:
  /// Without `allow_md5`, answers by MD5 are wrong: those of Python up to 3.11.
  ChallengeDeliverer(AuthKey key, BytesView nonce, bool allow_md5);

  [[nodiscard]] Bytes begin() const override;
  ProofStep take(BytesView message) override;

 private:
  [[nodiscard]] std::optional<Failure> fault_of(BytesView answer) const;

  const AuthKey key_;
  const Bytes challenge_;
  const bool allow_md5_;
};

/// Answers a challenge.
class ChallengeAnswerer final : public ProofSide {
 public:
  /// Without `allow_md5`, a challenge that demands MD5 is not answered: that of Python up to 3.11.
  ChallengeAnswerer(AuthKey key, bool allow_md5) : key_(std::move(key)), allow_md5_(allow_md5) {}

  [[nodiscard]] Bytes begin() const override { return {}; }
  ProofStep take(BytesView message) override;

 private:
  [[nodiscard]] Result<Bytes> answer_to(BytesView challenge) const;

  const AuthKey key_;
  const bool allow_md5_;
  bool answered_ = false;
};

/// Both proofs on a connection, in the order for this end: a listener delivers first, a client answers first.
class MutualProof final : public ProofSide {
 public:
  enum class End : std::uint8_t { listener, client };

  MutualProof(End end, const AuthKey& key, BytesView nonce, bool allow_md5);

  [[nodiscard]] Bytes begin() const override;
  ProofStep take(BytesView message) override;

 private:
  ChallengeDeliverer deliverer_;
  ChallengeAnswerer answerer_;
  bool delivers_;
  bool is_second_ = false;
};

}  // namespace remsh::messages
