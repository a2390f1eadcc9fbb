// PeerBatch: calls of one thread that are sent together.
#pragma once

#include <memory>

namespace remsh::rpc {

class Peer;

/// While it lives, the calls that its thread makes on the peer keep their boxes. They are sent together when it ends,
/// when its thread waits for one of them, or when another thread makes a call. It must end in the thread that made it.
class PeerBatch {
 public:
  explicit PeerBatch(std::shared_ptr<Peer> peer) noexcept;
  PeerBatch(const PeerBatch&) = delete;
  PeerBatch& operator=(const PeerBatch&) = delete;
  ~PeerBatch();

  /// Whether this thread has a batch of that peer.
  static bool is_open_here(const Peer& peer) noexcept;

 private:
  static thread_local PeerBatch* newest;

  const std::shared_ptr<Peer> peer_;
  PeerBatch* older_;  // of this thread
};

}  // namespace remsh::rpc
