// KeyWatch: the keys of a listener: who may come in by them, and stay.
#pragma once

#include "auth/derive.hpp"
#include "auth/handshake.hpp"
#include "auth/key_store.hpp"
#include "transport/network.hpp"
#include "transport/tls_engine.hpp"

#include <remsh/base/log.hpp>
#include <remsh/master/slave.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace remsh {

/// The keys of a listener: who may come in by them, and stay. Thread-safe, but for look().
class KeyWatch {
 public:
  /// How often a listener looks whether anything has changed.
  static constexpr std::chrono::milliseconds period{500};

  explicit KeyWatch(std::shared_ptr<auth::KeyStore> store) : store_(std::move(store)) {}

  /// The keys as a peer at this address is let to prove them.
  [[nodiscard]] std::shared_ptr<const auth::MasterKeys> as_seen_from(const std::optional<IpAddress>& address) const;

  /// The keys for TLS, whose peers say NAME:KID; wherever they are, as that is judged behind it.
  [[nodiscard]] static FindTlsKey for_tls(std::shared_ptr<auth::KeyStore> store);

  /// Whether a slave may stay.
  [[nodiscard]] bool counts(const SlaveInfo& slave) const;

  struct Look {
    std::vector<LogRecord> news;
    bool is_changed = false;  ///< ask counts() for everybody
  };

  /// Looks at the file, where there is one, and at the clock. Blocks. One thread at a time.
  Look look();

  /// See KeyStore::enrol(). Blocks.
  Result<auth::KeyStore::Enrolled> enrol(const Registration& slave, const Secret& key);

 private:
  const std::shared_ptr<auth::KeyStore> store_;
  const Secret decoy_ = make_key();
  std::uint64_t generation_ = 0;
  std::optional<auth::WallTime> next_expiry_;
};

}  // namespace remsh
