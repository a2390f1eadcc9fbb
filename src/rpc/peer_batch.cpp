#include "rpc/peer_batch.hpp"

#include "base/misuse.hpp"
#include "rpc/peer.hpp"

#include <new>
#include <utility>

namespace remsh::rpc {

thread_local PeerBatch* PeerBatch::newest = nullptr;

PeerBatch::PeerBatch(std::shared_ptr<Peer> peer) noexcept : peer_(std::move(peer)), older_(newest) { newest = this; }

PeerBatch::~PeerBatch() {
  PeerBatch** place = &newest;
  while (*place != this) {
    if (*place == nullptr) misuse("a Batch ends in another thread than it began in: make it a local variable there");
    place = &(*place)->older_;
  }
  *place = older_;
  try {
    peer_->send_waiting();
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): the next call or ping sends them
  }
}

bool PeerBatch::is_open_here(const Peer& peer) noexcept {
  for (const PeerBatch* batch = newest; batch != nullptr; batch = batch->older_) {
    if (batch->peer_.get() == &peer) return true;
  }
  return false;
}

}  // namespace remsh::rpc
