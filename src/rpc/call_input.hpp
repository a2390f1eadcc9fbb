// CallInput: the input of a call, from threads that do not drive the call.
#pragma once

#include "base/patience.hpp"
#include "base/result.hpp"
#include "rpc/peer.hpp"

#include <remsh/base/bytes.hpp>

#include <cstdint>
#include <memory>
#include <utility>

namespace remsh::rpc {

/// The input of an outgoing call, for threads that do not drive the call: each writes, and waits for credit, by itself,
/// whether another thread waits for the call or not. The call must be a streaming one whose driver sends no input. One
/// thread at a time.
class CallInput {
 public:
  CallInput(std::shared_ptr<Peer> peer, std::uint64_t call) : peer_(std::move(peer)), call_(call) {}

  /// Sends these bytes. Returns false if the call is over, or was left by its caller, before all of them were sent. If
  /// the deadline or the stop token ends it, a part of them may have been sent.
  Result<bool> write(BytesView bytes, const Patience& patience);

  /// The input is complete. Does nothing if the call is over.
  void end();

 private:
  class Inside;
  [[nodiscard]] OpenCall* open_call() const;

  const std::shared_ptr<Peer> peer_;
  const std::uint64_t call_;
};

}  // namespace remsh::rpc
