// The handshake of the limit.

#include "fleet_identity.hpp"
#include "played_handshake.hpp"

#include <remsh/connection/box_codec.hpp>

#include <array>
#include <cstring>
#include <stdexcept>
#include <unordered_map>

namespace remsh::bench {

namespace {

class BareHandshake final : public PlayedHandshake {
 public:
  Bytes begin(std::size_t) override { return {}; }

  std::size_t take_challenge(std::size_t slave, BytesView bytes, Bytes& proof) override {
    if (bytes.size() < BareHandshakeSizes::nonce) return 0;
    const BytesView theirs = bytes.substr(0, BareHandshakeSizes::nonce);
    Digest ours;
    fill_at_random(ours.data(), ours.size());
    proof.append(view(ours)).append(view(bare_proof(hmac_, view(ours), theirs))).append(registration_);
    awaited_[slave] = bare_proof(hmac_, theirs, view(ours));
    return BareHandshakeSizes::nonce;
  }

  std::size_t take_welcome(std::size_t slave, BytesView bytes) override {
    const std::size_t size = digest_bytes + registered_.size();
    if (bytes.size() < size) return 0;
    const auto awaited = awaited_.extract(slave);
    if (bytes.substr(0, digest_bytes) != view(awaited.mapped())) throw std::runtime_error("a master proves nothing");
    return size;
  }

 private:
  BareHmac hmac_{fleet_key_of_limit().bytes()};
  const Bytes registration_ = fleet_registration();
  const Bytes registered_ = bare_registered();
  std::unordered_map<std::size_t, Digest> awaited_;  // the proofs of the master
};

}  // namespace

std::unique_ptr<PlayedHandshake> make_bare_handshake() { return std::make_unique<BareHandshake>(); }

Digest bare_proof(BareHmac& hmac, BytesView own_nonce, BytesView other_nonce) {
  std::array<char, 2 * BareHandshakeSizes::nonce> both;
  std::memcpy(both.data(), own_nonce.data(), BareHandshakeSizes::nonce);
  std::memcpy(both.data() + BareHandshakeSizes::nonce, other_nonce.data(), BareHandshakeSizes::nonce);
  return hmac({both.data(), both.size()});
}

Bytes bare_registered() {
  Bytes bytes;
  BoxWriter(bytes).field("type", "registered").end();
  return bytes;
}

}  // namespace remsh::bench
