// KeyWatch: the keys of a listener: who may come in by them, and stay.
#pragma once

#include "auth/derive.hpp"
#include "auth/key_store.hpp"
#include "auth/master_handshake.hpp"
#include "transport/network.hpp"
#include "transport/tls_engine.hpp"

#include <remsh/base/log.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace remsh {

class Backend;

/// The keys of a listener: who may come in by them, and stay. Thread-safe, except for look_at_file() and
/// look_at_clock().
class KeyWatch {
 public:
  /// How often a listener looks whether anything has changed.
  static constexpr std::chrono::milliseconds period{500};

  explicit KeyWatch(std::shared_ptr<auth::KeyStore> store) : store_(std::move(store)), heard_(store_->first_news()) {}

  /// The keys as a peer at this address is let to prove them.
  [[nodiscard]] std::shared_ptr<const auth::MasterKeys> as_seen_from(const std::optional<IpAddress>& address) const;

  /// The keys for TLS, whose peers say NAME:KID; wherever they are, as that is judged behind it.
  [[nodiscard]] static FindTlsKey for_tls(std::shared_ptr<auth::KeyStore> store);

  /// Whether a slave may stay.
  [[nodiscard]] bool counts(const Backend& slave) const;

  /// Looks at the file, if there is one, and takes it over if it has changed; returns what is to be logged. Blocks. One
  /// thread at a time.
  std::vector<LogRecord> look_at_file();

  /// Whether a key has expired or changed since the last call, so that counts() is to be asked for everybody. One
  /// thread at a time.
  bool look_at_clock();

  [[nodiscard]] const std::shared_ptr<auth::KeyStore>& store() const noexcept { return store_; }

  /// See KeyStore::enrol(). Blocks.
  Result<auth::KeyStore::Enrolled> enrol(const Registration& slave, const Secret& key);

 private:
  const std::shared_ptr<auth::KeyStore> store_;
  const Secret decoy_ = make_key();
  std::uint64_t heard_;  // of the news of the store
  std::uint64_t generation_ = 0;
  std::optional<auth::WallTime> next_expiry_;
};

}  // namespace remsh
