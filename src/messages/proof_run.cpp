#include "messages/proof_run.hpp"

#include "messages/started_work.hpp"

namespace remsh::messages {

namespace {

/// What a failure of the stream means in the middle of a proof.
Failure in_proof(Failure failure) {
  if (failure.code == Errc::connection_lost) {
    failure.message = "the connection ended during the proof: does the other side have an authkey? " + failure.message;
  } else {
    failure.code = Errc::auth_failed;  // what came is no proof
  }
  return failure;
}

}  // namespace

/// Returns true when all of it is sent.
Result<bool> ProofRun::send(Bytes message) {
  message_ = std::move(message);
  if (message_.empty()) return true;
  return stream_->send(message_, rest_);
}

Result<bool> ProofRun::step(Duration wait) {
  if (!std::exchange(has_begun_, true)) {
    if (auto sent = send(proof_->begin()); !sent) return in_proof(std::move(sent).failure());
  }
  for (;;) {
    if (rest_) {
      auto sent = stream_->go_on(rest_, wait);
      if (!sent) return after_sending_ && !*after_sending_ ? *after_sending_ : in_proof(std::move(sent).failure());
      if (!*sent) return false;
      rest_.reset();
    }
    if (after_sending_) return *after_sending_;
    auto received = stream_->receive(most_in_proof, wait);
    if (!received) return in_proof(std::move(received).failure());
    if (!*received) return false;
    ProofStep step = proof_->take(stream_->reader().take());
    if (step.then == ProofStep::Then::done) after_sending_ = true;
    if (step.then == ProofStep::Then::close) after_sending_ = std::move(step.failure);
    auto sent = send(std::move(step.send));
    if (!sent && !after_sending_) return in_proof(std::move(sent).failure());
  }
}

Result<void> prove(const std::shared_ptr<MessageStream>& stream, std::unique_ptr<ProofSide> proof,
                   const Patience& patience) {
  auto failure = [&] {
    ProofRun run(stream, std::move(proof));
    return wait_for(patience, "for a proof: does the other side have an authkey?",
                    [&run](Duration wait) { return run.step(wait); });
  }();
  if (!failure) return {};
  stream->close();
  return *std::move(failure);
}

}  // namespace remsh::messages
