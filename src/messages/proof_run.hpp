// ProofRun: a proof over a stream.
#pragma once

#include "base/patience.hpp"
#include "base/result.hpp"
#include "messages/message_stream.hpp"
#include "messages/proof.hpp"

#include <remsh/base/deadline.hpp>
#include <remsh/transport/transport.hpp>

#include <memory>
#include <optional>
#include <utility>

namespace remsh::messages {

/// Sends and receives the messages of one side of a proof, by a thread that waits or by one that must not. One thread
/// at a time.
class ProofRun {
 public:
  ProofRun(std::shared_ptr<MessageStream> stream, std::unique_ptr<ProofSide> proof)
      : stream_(std::move(stream)), proof_(std::move(proof)) {}
  ProofRun(const ProofRun&) = delete;
  ProofRun& operator=(const ProofRun&) = delete;
  ~ProofRun() {
    if (rest_) stream_->withdraw(rest_);
  }

  /// Goes on, and waits for at most this long. Returns true when the proof is made. Fails when it cannot be made any
  /// more: close the stream then.
  Result<bool> step(Duration wait);

  /// What it waits for when step() has returned false.
  [[nodiscard]] Ready wants() const noexcept { return rest_ ? Ready::write : Ready::read; }

 private:
  Result<bool> send(Bytes message);

  const std::shared_ptr<MessageStream> stream_;
  const std::unique_ptr<ProofSide> proof_;
  bool has_begun_ = false;
  Bytes message_;                              // the message that is being sent
  std::shared_ptr<Outgoing> rest_;             // what is unsent of it
  std::optional<Result<bool>> after_sending_;  // the outcome, when it is sent
};

/// Makes a proof in the thread of the caller. If it fails, the stream is closed.
Result<void> prove(const std::shared_ptr<MessageStream>& stream, std::unique_ptr<ProofSide> proof,
                   const Patience& patience);

}  // namespace remsh::messages
