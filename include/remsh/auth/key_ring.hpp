// KeyRing and KeyFile: the keys that slaves may prove, and the passwords of Buildbot's workers.
#pragma once

#include <remsh/base/export.hpp>
#include <remsh/base/secret.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace remsh {

namespace auth {
class KeyStore;
}

/// Returns a new key: 32 random bytes. Throws std::system_error if the system provides none.
REMSH_API Secret make_key();

/// The terms of a key or a password: from where and until when it is valid, and its labels.
struct KeyTerms {
  /// Addresses from which the key may be proven: "10.0.0.0/8", "fd00::/8", "192.0.2.7". Empty: from anywhere. A peer
  /// without an address, as on a unix socket, is in no network.
  std::vector<std::string> networks = {};

  /// From this moment on the key is treated as missing.
  std::optional<std::chrono::system_clock::time_point> expires = {};

  /// SlaveInfo::labels of a slave that has proven this key; the slave cannot change them. Keys are 1 to 64 of A-Z a-z
  /// 0-9 . _ -, values 1 to 256 bytes of UTF-8 without spaces.
  std::map<std::string, std::string> labels = {};

  /// True if this is not a key but the token of an invitation: valid for one enrolment, and it must expire. Refused for
  /// a password.
  bool is_invitation = false;

  friend bool operator==(const KeyTerms&, const KeyTerms&) = default;
};

/// A key or a password that was registered by a call. Destroying this object ends it: slaves that have proven it are
/// disconnected at once. May outlive the ring. One thread at a time.
class REMSH_API KeyRegistration {
 public:
  KeyRegistration() = default;  ///< empty
  KeyRegistration(KeyRegistration&& other) noexcept;
  KeyRegistration& operator=(KeyRegistration&& other) noexcept;
  ~KeyRegistration();

  /// Replaces the key, the terms, or both; the old key ends. Throws as KeyRing::register_slave() does, and if this
  /// object is empty; then nothing changes.
  void update(const Secret& key);
  void update(const KeyTerms& terms);
  void update(const Secret& key, const KeyTerms& terms);

  /// Replaces the password, and keeps the terms; the old password ends. Throws as KeyRing::register_password() does,
  /// and if this object is empty; then nothing changes.
  ///
  /// A registration has either a key or a password: update_password() makes a password of a key, and update() with a
  /// key makes a key of a password. update() with terms alone keeps whichever there is.
  void update_password(std::string_view password);

  /// Ends the key or the password now. Does nothing the second time.
  void drop() noexcept;

  /// The name of the slave; empty if this object is empty.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  /// The id of the key, as logs, SlaveInfo::key_id and `remsh-slave keygen list` show it: 8 hex digits, which are not
  /// secret. It changes when the key is replaced, and is empty if this object is empty. The key itself cannot be read
  /// back. A password has such an id too, and in each process another one, so that the id tells nothing about it.
  [[nodiscard]] const std::string& key_id() const noexcept { return key_id_; }

  /// False if empty: dropped, or moved from.
  explicit operator bool() const noexcept { return number_ != 0; }

 private:
  friend class KeyRing;
  KeyRegistration(std::weak_ptr<auth::KeyStore> store, std::uint64_t number, std::string name,
                  std::string key_id) noexcept;
  void change(const Secret* key, const std::string_view* password, const KeyTerms* terms);

  std::weak_ptr<auth::KeyStore> store_;
  std::uint64_t number_ = 0;
  std::string name_;
  std::string key_id_;
};

/// The keys that slaves may prove, and the passwords of Buildbot's workers: up to four for each name, so that an old
/// and a new one can overlap. A handle: copies share the keys. Changes take effect at once, even in running listeners.
/// Thread-safe.
///
///     remsh::KeyRing keys;
///     auto w1 = keys.register_slave("w1", key);             // for as long as w1 lives
///     auto b1 = keys.register_password("b1", "correct horse battery staple");
class REMSH_API KeyRing {
 public:
  /// A ring without keys.
  KeyRing();

  /// Accepts slaves of this name with this key. Throws Error with invalid_argument if the name, the terms or the number
  /// of keys is not allowed, and with in_use if the key is registered already, under any name.
  [[nodiscard]] KeyRegistration register_slave(std::string name, const Secret& key, KeyTerms terms = {});

  /// Accepts Buildbot's workers of this name with this password: 1 to 256 bytes, of which a copy is kept and wiped at
  /// the end. Slaves of remsh cannot use it; they have keys. A password is only as good as its text: docs/security.md,
  /// "Key files". Throws Error with invalid_argument if the name, the password, the terms or the number of keys and
  /// passwords is not allowed, and with in_use if this name has this password already; other names may have the same.
  [[nodiscard]] KeyRegistration register_password(std::string name, std::string_view password, KeyTerms terms = {});

 protected:
  explicit KeyRing(std::shared_ptr<auth::KeyStore> store) noexcept;

 private:
  friend class auth::KeyStore;

  std::shared_ptr<auth::KeyStore> store_;
};

/// A ring that follows a file of lines `NAME KEY [option...]`; docs/security.md describes them, and `remsh-slave
/// keygen` writes them. Lines `NAME password=PASSWORD [option...]` are written by hand. More keys and passwords may be
/// registered by calls.
///
/// A running listener checks the file twice a second. The keys of removed lines end. If the file is invalid or cannot
/// be read, nothing changes, and the listener's log says why.
///
///     .keys = remsh::KeyFile("slaves.keys")       // may be cut down to a KeyRing: it has nothing more
class REMSH_API KeyFile : public KeyRing {
 public:
  /// Reads the file. Throws Error, with a message that says what to do, if the file is missing, invalid or unsafe
  /// (other users can read, write or replace it).
  explicit KeyFile(std::string path);
};

}  // namespace remsh
