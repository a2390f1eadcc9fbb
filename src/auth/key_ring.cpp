#include <remsh/auth/key_ring.hpp>

#include "auth/key_line.hpp"
#include "auth/key_store.hpp"
#include "base/throw_failure.hpp"
#include "base/wipe.hpp"
#include "os/random.hpp"

#include <array>
#include <string_view>
#include <utility>

namespace remsh {

Secret make_key() {
  std::array<char, Secret::size> bytes{};
  random_bytes(bytes);
  Secret key = *Secret::from_bytes({bytes.data(), bytes.size()});
  wipe(bytes);
  return key;
}

KeyRegistration::KeyRegistration(std::weak_ptr<auth::KeyStore> store, std::uint64_t number, std::string name,
                                 std::string key_id) noexcept
    : store_(std::move(store)), number_(number), name_(std::move(name)), key_id_(std::move(key_id)) {}

KeyRegistration::KeyRegistration(KeyRegistration&& other) noexcept
    : store_(std::move(other.store_)),
      number_(std::exchange(other.number_, 0)),
      name_(std::exchange(other.name_, {})),
      key_id_(std::exchange(other.key_id_, {})) {}

KeyRegistration& KeyRegistration::operator=(KeyRegistration&& other) noexcept {
  if (this != &other) {
    drop();
    store_ = std::move(other.store_);
    number_ = std::exchange(other.number_, 0);
    name_ = std::exchange(other.name_, {});
    key_id_ = std::exchange(other.key_id_, {});
  }
  return *this;
}

KeyRegistration::~KeyRegistration() { drop(); }

void KeyRegistration::drop() noexcept {
  const std::uint64_t number = std::exchange(number_, 0);
  if (const auto store = store_.lock(); store != nullptr && number != 0) store->drop(number);
  store_.reset();
  name_.clear();
  key_id_.clear();
}

void KeyRegistration::change(const Secret* key, const std::string_view* password, const KeyTerms* terms) {
  Result<std::string> changed = Failure{Errc::invalid_argument, "the registration has ended, or its key ring has", 0};
  if (const auto store = store_.lock()) changed = store->change(number_, {key, password, terms});
  if (!changed) throw_failure(changed.failure(), {}, password != nullptr ? "update a password" : "update a key");
  key_id_ = *std::move(changed);
}

void KeyRegistration::update(const Secret& key) { change(&key, nullptr, nullptr); }
void KeyRegistration::update(const KeyTerms& terms) { change(nullptr, nullptr, &terms); }
void KeyRegistration::update(const Secret& key, const KeyTerms& terms) { change(&key, nullptr, &terms); }
void KeyRegistration::update_password(std::string_view password) { change(nullptr, &password, nullptr); }

KeyRing::KeyRing() : store_(std::make_shared<auth::KeyStore>()) {}

KeyRing::KeyRing(std::shared_ptr<auth::KeyStore> store) noexcept : store_(std::move(store)) {}

KeyRegistration KeyRing::register_slave(std::string name, const Secret& key, KeyTerms terms) {
  auto added = store_->add(auth::make_key_line(name, key, std::move(terms)));
  if (!added) throw_failure(added.failure(), {}, "register a key");
  return {store_, added->number, std::move(name), std::move(added->kid)};
}

KeyRegistration KeyRing::register_password(std::string name, std::string_view password, KeyTerms terms) {
  auto added = store_->add(auth::make_password_line(name, password, std::move(terms)));
  if (!added) throw_failure(added.failure(), {}, "register a password");
  return {store_, added->number, std::move(name), std::move(added->kid)};
}

namespace {

std::shared_ptr<auth::KeyStore> opened(std::string path) {
  auto store = std::make_shared<auth::KeyStore>(std::move(path));
  if (auto read = store->open(std::chrono::system_clock::now()); !read) throw_failure(read.failure(), {}, "read keys");
  return store;
}

}  // namespace

KeyFile::KeyFile(std::string path) : KeyRing(opened(std::move(path))) {}

}  // namespace remsh
