// KeyWatch: the keys of a listener: which slaves may enter with them, and stay.
#pragma once

#include "auth/derive.hpp"
#include "auth/key_password.hpp"
#include "auth/key_store.hpp"
#include "auth/master_handshake.hpp"
#include "transport/network.hpp"
#include "transport/tls_engine.hpp"

#include <remsh/base/log.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh {

class Backend;

/// The keys of a listener: which slaves may enter with them, and stay. Thread-safe, except for look_at_file() and
/// look_at_clock().
class KeyWatch {
 public:
  /// How often a listener checks for changes.
  static constexpr std::chrono::milliseconds period{500};

  explicit KeyWatch(std::shared_ptr<auth::KeyStore> store) : store_(std::move(store)), heard_(store_->first_news()) {}

  /// The keys that a peer at this address may use.
  [[nodiscard]] std::shared_ptr<const auth::MasterKeys> as_seen_from(const std::optional<IpAddress>& address) const;

  /// The passwords that a worker at this address may use for a name, as they are when the function is called; empty:
  /// the name has none. The function does not block, may be called from any thread, and may outlive this object.
  [[nodiscard]] std::function<std::vector<auth::PasswordAnswer>(std::string_view name)> passwords_as_seen_from(
      const std::optional<IpAddress>& address) const;

  /// The keys for TLS, whose peers send NAME:KID. Keys are found for any address, as the address is checked after TLS.
  [[nodiscard]] static FindTlsKey for_tls(std::shared_ptr<auth::KeyStore> store);

  /// Whether a slave may stay.
  [[nodiscard]] bool counts(const Backend& slave) const;

  /// Checks the file, if there is one, and loads it if it has changed. Returns what is to be logged. Blocks. One thread
  /// at a time.
  std::vector<LogRecord> look_at_file();

  /// Whether a key has expired or changed since the last call, so that counts() must be called for every slave. One
  /// thread at a time.
  bool look_at_clock();

  [[nodiscard]] const std::shared_ptr<auth::KeyStore>& store() const noexcept { return store_; }

  /// See KeyStore::enrol(). Blocks.
  Result<auth::KeyStore::Enrolled> enrol(const Registration& slave, const Secret& key);

 private:
  const std::shared_ptr<auth::KeyStore> store_;
  const Secret decoy_ = make_key();
  std::uint64_t heard_;  // which log records of the store were read
  std::uint64_t generation_ = 0;
  std::optional<auth::WallTime> next_expiry_;
};

}  // namespace remsh
