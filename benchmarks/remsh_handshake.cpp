// The slave's side of our own handshake, from docs/protocol.md: the library's would cost the slaves' process several
// times what it costs the master, and the slaves would be the limit.

#include "box_scan.hpp"
#include "fleet_identity.hpp"
#include "played_handshake.hpp"

#include <remsh/connection/box_codec.hpp>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace remsh::bench {

namespace {

/// k(purpose) of a key.
Digest derived(BareSha256& sha256, BytesView key, std::string_view purpose) {
  return HmacBlocks(key).mac(sha256, "remsh/2 " + std::string(purpose));
}

std::string key_id(BareSha256& sha256, BytesView key) {
  constexpr const char* digits = "0123456789abcdef";
  const Digest digest = derived(sha256, key, "kid");
  std::string id;
  for (std::size_t i = 0; i < 4; ++i) {
    const auto byte = static_cast<unsigned char>(digest[i]);
    id += digits[byte >> 4U];
    id += digits[byte & 15U];
  }
  return id;
}

/// What the proofs cover of a box from the master: all fields but the envelope and the proof itself.
struct MasterBox {
  Bytes body;
  BytesView mac;
};
MasterBox split_master_box(BytesView bytes, const char* must_have) {
  MasterBox box;
  BoxWriter body(box.body);
  bool has_it = false;
  for (BoxScan scan(bytes); scan.next();) {
    if (scan.key() == "mac") {
      box.mac = scan.value();
    } else if (scan.key().front() != '_') {
      body.field(scan.key(), scan.value());
      has_it = has_it || scan.key() == must_have;
    }
  }
  body.end();
  if (!has_it) throw std::runtime_error("a master does not admit a slave of the fleet: " + Bytes(bytes));
  return box;
}

class RemshHandshake final : public PlayedHandshake {
 public:
  RemshHandshake(std::size_t first, std::size_t slaves) {
    slaves_.reserve(slaves);
    for (std::size_t i = 0; i < slaves; ++i) slaves_.push_back(prepare(first + i));
  }

  Bytes begin(std::size_t slave) override {
    Slave& self = slaves_[slave];
    self.transcript = Bytes(digest_bytes, '\0');  // without TLS the proofs are bound to nothing
    self.transcript += self.hello_body;
    return self.hello;
  }

  std::size_t take_challenge(std::size_t slave, BytesView bytes, Bytes& proof) override {
    const std::size_t size = box_size(bytes);
    if (size == 0) return 0;
    Slave& self = slaves_[slave];
    self.transcript += split_master_box(bytes.substr(0, size), "nonce").body;
    self.transcript += prove_body_;
    write_prove(view(self.slave_key.mac(sha256_, view(sha256_(self.transcript)))), proof);
    return size;
  }

  std::size_t take_welcome(std::size_t slave, BytesView bytes) override {
    const std::size_t size = box_size(bytes);
    if (size == 0) return 0;
    Slave& self = slaves_[slave];
    const MasterBox welcome = split_master_box(bytes.substr(0, size), "keepalive");
    self.transcript += welcome.body;
    if (welcome.mac != view(self.master_key.mac(sha256_, view(sha256_(self.transcript))))) {
      throw std::runtime_error("a master proves nothing");
    }
    self.transcript = Bytes();
    return size;
  }

 private:
  struct Slave {
    Bytes hello;
    Bytes hello_body;
    Bytes transcript;  // the bodies of the boxes so far
    HmacBlocks slave_key;
    HmacBlocks master_key;
  };

  Slave prepare(std::size_t number) {
    const Secret key = fleet_key(number);
    const std::string id = key_id(sha256_, key.bytes());
    Digest nonce;
    fill_at_random(nonce.data(), nonce.size());
    const auto write_rest = [&](BoxWriter& box) {
      box.field("features", "")
          .field("kid", id)
          .field("name", fleet_name(number))
          .field("nonce", view(nonce))
          .field("versions", "2")
          .end();
    };
    Slave slave{.hello = {},
                .hello_body = {},
                .transcript = {},
                .slave_key = HmacBlocks(view(derived(sha256_, key.bytes(), "slave"))),
                .master_key = HmacBlocks(view(derived(sha256_, key.bytes(), "master")))};
    BoxWriter hello(slave.hello);
    write_rest(hello.field("_ask", "1").field("_command", "hello"));
    BoxWriter body(slave.hello_body);
    write_rest(body);
    return slave;
  }

  void write_prove(BytesView mac, Bytes& out) const {
    BoxWriter box(out);
    box.field("_ask", "2").field("_command", "prove");
    bool is_written = false;
    for (BoxScan scan(prove_body_); scan.next();) {
      if (!is_written && scan.key() > "mac") {
        box.field("mac", mac);
        is_written = true;
      }
      box.field(scan.key(), scan.value());
    }
    box.end();
  }

  BareSha256 sha256_;
  const Bytes prove_body_ = fleet_registration();
  std::vector<Slave> slaves_;
};

}  // namespace

std::unique_ptr<PlayedHandshake> make_remsh_handshake(std::size_t first, std::size_t slaves) {
  return std::make_unique<RemshHandshake>(first, slaves);
}

}  // namespace remsh::bench
