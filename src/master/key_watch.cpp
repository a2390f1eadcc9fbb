#include "master/key_watch.hpp"

#include "master/backend.hpp"

#include <chrono>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh {

namespace {

auth::WallTime wall_time() { return std::chrono::system_clock::now(); }

}  // namespace

std::shared_ptr<const auth::MasterKeys> KeyWatch::as_seen_from(const std::optional<IpAddress>& address) const {
  return std::make_shared<auth::MasterKeys>(auth::MasterKeys{
      .decoy = decoy_,
      .find = [store = store_, address](BytesView name,
                                        BytesView kid) { return store->find(name, kid, address, wall_time()); },
  });
}

std::function<std::vector<auth::PasswordAnswer>(std::string_view name)> KeyWatch::passwords_as_seen_from(
    const std::optional<IpAddress>& address) const {
  return [store = store_, address](std::string_view name) { return store->passwords_of(name, address, wall_time()); };
}

FindTlsKey KeyWatch::for_tls(std::shared_ptr<auth::KeyStore> store) {
  return [store = std::move(store)](std::string_view identity) -> TlsKey {
    const std::size_t colon = identity.rfind(':');
    if (colon == std::string_view::npos) return {std::nullopt, "that is no NAME:KEY-ID"};
    auto found = store->claimed(identity.substr(0, colon), identity.substr(colon + 1), wall_time());
    if (!found.key) return {std::nullopt, std::move(found.reason)};
    return std::optional(auth::derive(*found.key, "tls"));
  };
}

bool KeyWatch::counts(const Backend& slave) const {
  const std::string_view key_id = slave.key_id();
  return key_id.empty() || store_->counts(slave.name(), key_id, ip_address_of(slave.address()), wall_time());
}

std::vector<LogRecord> KeyWatch::look_at_file() { return store_->refresh(wall_time(), &heard_); }

bool KeyWatch::look_at_clock() {
  const auth::WallTime now = wall_time();
  const std::uint64_t generation = store_->generation();
  if (generation == generation_ && (!next_expiry_ || *next_expiry_ > now)) return false;
  generation_ = generation;
  next_expiry_ = store_->next_expiry(now);
  return true;
}

Result<auth::KeyStore::Enrolled> KeyWatch::enrol(const Registration& slave, const Secret& key) {
  return store_->enrol(slave.name, slave.key_id, key, wall_time());
}

}  // namespace remsh
