// KeyRing and KeyFile: which keys slaves may prove.
#pragma once

#include <remsh/base/export.hpp>
#include <remsh/base/secret.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace remsh {

namespace auth {
class KeyStore;
}

/// 32 new random bytes: a key that nobody has yet. Throws std::system_error where the system gives none.
REMSH_API Secret make_key();

/// What goes with a key: from where and until when it counts, and what its owner says of who has it.
struct KeyTerms {
  /// Addresses from which it may be proven: "10.0.0.0/8", "fd00::/8", "192.0.2.7". Empty: from anywhere. A peer without
  /// an address, as on a unix socket, is in no network.
  std::vector<std::string> networks = {};

  /// From this moment on it is as if it were not there.
  std::optional<std::chrono::system_clock::time_point> expires = {};

  /// Told of a slave that has proven this key, which cannot change them. Keys are 1 to 64 of A-Z a-z 0-9 . _ -, values
  /// 1 to 256 bytes of UTF-8 without spaces.
  std::map<std::string, std::string> labels = {};

  /// It is no key but the token of an invitation: good for one enrolment, and must expire.
  bool is_invitation = false;

  friend bool operator==(const KeyTerms&, const KeyTerms&) = default;
};

/// A key that was registered by a call. Dropped, the key ends: slaves that came in by it are disconnected at
/// once. May outlive the ring. One thread at a time.
class REMSH_API KeyRegistration {
 public:
  KeyRegistration() = default;  ///< of nothing
  KeyRegistration(KeyRegistration&& other) noexcept;
  KeyRegistration& operator=(KeyRegistration&& other) noexcept;
  ~KeyRegistration();

  /// Puts another key, other terms, or both, in the place of what there was; the old key ends. Throws as
  /// KeyRing::register_slave() does, and where there is nothing registered any more; then nothing has changed.
  void update(const Secret& key);
  void update(const KeyTerms& terms);
  void update(const Secret& key, const KeyTerms& terms);

  /// Ends the key now. Does nothing the second time.
  void drop() noexcept;

  /// The name of the slave; empty for one of nothing.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  /// The id of the key, as logs, SlaveInfo::key_id and `remsh-slave keygen list` show it: 8 hex digits, which are no
  /// secret. Another one after update() with another key; empty for one of nothing. The key itself is not to be had
  /// from here.
  [[nodiscard]] const std::string& key_id() const noexcept { return key_id_; }

  /// False for one of nothing: dropped, or moved from.
  explicit operator bool() const noexcept { return number_ != 0; }

 private:
  friend class KeyRing;
  KeyRegistration(std::weak_ptr<auth::KeyStore> store, std::uint64_t number, std::string name,
                  std::string key_id) noexcept;
  void change(const Secret* key, const KeyTerms* terms);

  std::weak_ptr<auth::KeyStore> store_;
  std::uint64_t number_ = 0;
  std::string name_;
  std::string key_id_;
};

/// The keys that slaves may prove, up to four for each name, so that an old and a new one can overlap. A handle: copies
/// share the keys. Changes count at once, also for listeners that run. Thread-safe.
///
///     remsh::KeyRing keys;
///     auto w1 = keys.register_slave("w1", key);   // for as long as w1 lives
class REMSH_API KeyRing {
 public:
  /// One without keys.
  KeyRing();

  /// Lets a slave of this name in with this key. Throws Error: invalid_argument where the name, the terms or the number
  /// of keys is not allowed, in_use where the key is there already, for whatever name.
  [[nodiscard]] KeyRegistration register_slave(std::string name, const Secret& key, KeyTerms terms = {});

 protected:
  explicit KeyRing(std::shared_ptr<auth::KeyStore> store) noexcept;

 private:
  friend class auth::KeyStore;

  std::shared_ptr<auth::KeyStore> store_;
};

/// A ring that follows a file, whose lines are `NAME KEY [option...]`: docs/security.md says which, and
/// `remsh-slave keygen` writes them. Keys may be registered beside it by calls.
///
/// A listener that runs looks at the file twice a second. A line that is gone no longer counts; a file that is bad or
/// cannot be read changes nothing, and is told to the listener's log.
///
///     .keys = remsh::KeyFile("slaves.keys")       // may be cut down to a KeyRing: it has nothing more
class REMSH_API KeyFile : public KeyRing {
 public:
  /// Reads it. Throws Error, with a sentence that says what to do, where it is not there, is not as it should be, or is
  /// not safe: others can read it, write to it, or replace it.
  explicit KeyFile(std::string path);
};

}  // namespace remsh
