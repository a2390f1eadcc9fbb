#include <remsh/messages/challenge.hpp>

#include "base/throw_failure.hpp"
#include "messages/connection_impl.hpp"
#include "messages/proof.hpp"
#include "messages/proof_run.hpp"

#include <memory>
#include <utility>

namespace remsh {

void MessageConnection::prove(std::unique_ptr<messages::ProofSide> proof, const ChallengeOptions& options,
                              const char* operation) {
  const auto made =
      messages::prove(impl(operation).stream(), std::move(proof), {options.deadline.begin(), options.stop});
  if (!made) throw_failure(made.failure(), "", operation);
}

void deliver_challenge(MessageConnection& connection, const AuthKey& key, const ChallengeOptions& options) {
  connection.prove(std::make_unique<messages::ChallengeDeliverer>(key, messages::new_nonce(), !options.require_sha256),
                   options, "deliver a challenge");
}

void answer_challenge(MessageConnection& connection, const AuthKey& key, const ChallengeOptions& options) {
  connection.prove(std::make_unique<messages::ChallengeAnswerer>(key, !options.require_sha256), options,
                   "answer a challenge");
}

}  // namespace remsh
