#include <remsh/messages/challenge.hpp>

#include "messages/proof.hpp"

#include <memory>

namespace remsh {

void deliver_challenge(MessageConnection& connection, const AuthKey& key, const ChallengeOptions& options) {
  connection.prove(
      std::make_unique<messages::ChallengeDeliverer>(key, messages::new_nonce(), connection.allows_md5(options)),
      options, "deliver a challenge");
}

void answer_challenge(MessageConnection& connection, const AuthKey& key, const ChallengeOptions& options) {
  connection.prove(std::make_unique<messages::ChallengeAnswerer>(key, connection.allows_md5(options)), options,
                   "answer a challenge");
}

}  // namespace remsh
