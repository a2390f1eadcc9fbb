// KeyStore: the keys of a KeyRing, for use inside the library.
#pragma once

#include "auth/key_file.hpp"
#include "auth/key_line.hpp"
#include "auth/key_password.hpp"
#include "auth/key_table.hpp"
#include "auth/master_handshake.hpp"
#include "base/result.hpp"
#include "transport/network.hpp"

#include <remsh/auth/key_ring.hpp>
#include <remsh/base/log.hpp>
#include <remsh/base/secret.hpp>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh::auth {

/// The keys of a ring, from its file and from calls; and the passwords, each of which counts as a key in everything but
/// find() and claimed(), as no slave can prove it as it proves a key.
///
/// Thread-safe. Queries never block; refresh() and enrol() read and write the file. A listener calls refresh() twice a
/// second. After each change, and when next_expiry() has passed, it calls counts() for each live connection, and closes
/// those whose key is no longer valid.
class KeyStore {
 public:
  /// The keys of a ring.
  [[nodiscard]] static const std::shared_ptr<KeyStore>& of(const KeyRing& ring) noexcept { return ring.store_; }

  KeyStore() = default;

  /// Follows a file, after open() has read it.
  explicit KeyStore(std::string path) : path_(std::move(path)) {}

  /// Reads the file for the first time; it must be valid.
  Result<void> open(WallTime now);

  /// The claimed key, or why it is not valid.
  [[nodiscard]] KeyAnswer find(std::string_view name, std::string_view kid, const std::optional<IpAddress>& from,
                               WallTime now) const;

  /// Like find(), but for any address: TLS uses it before find() is called.
  [[nodiscard]] KeyAnswer claimed(std::string_view name, std::string_view kid, WallTime now) const;

  /// The passwords by which a worker at that address can prove that name; none of them is expired.
  [[nodiscard]] std::vector<PasswordAnswer> passwords_of(std::string_view name, const std::optional<IpAddress>& from,
                                                         WallTime now) const;

  /// True if a slave that has proven this key, or a worker this password, may stay connected.
  [[nodiscard]] bool counts(std::string_view name, std::string_view kid, const std::optional<IpAddress>& from,
                            WallTime now) const;

  /// True if there is any key of that name, even expired or used: then no slave without a key may have the name.
  [[nodiscard]] bool has(std::string_view name) const;

  /// True if there is a key of that name with which a slave may come at that time: neither expired nor an invitation.
  [[nodiscard]] bool expects(std::string_view name, WallTime now) const;

  /// All names that expects() has, in ascending order.
  [[nodiscard]] std::vector<std::string> expected(WallTime now) const;

  /// A number that changes with every change of the keys.
  [[nodiscard]] std::uint64_t generation() const;

  /// Calls a function after every change, as long as the function's object lives: at once, in the thread that made the
  /// change, without a lock. It must not block or throw.
  void on_change(std::weak_ptr<const std::function<void()>> told);

  /// The time of the next expiry after `now`.
  [[nodiscard]] std::optional<WallTime> next_expiry(WallTime now) const;

  /// Checks whether the file has changed, which costs one system call if it has not, and applies its changes. Returns
  /// the log records that the caller has not got yet. Each listener has its own log, and so its own `heard`, which
  /// begins at first_news(); null: a shared one.
  std::vector<LogRecord> refresh(WallTime now, std::uint64_t* heard = nullptr);

  /// The first `heard` for a new follower. Includes a current problem of the file.
  [[nodiscard]] std::uint64_t first_news() const;

  struct Enrolled {
    std::string kid;    ///< the id of the new key
    std::string where;  ///< for the log: "stored in 'slaves.keys'"
  };

  /// Enrols: in one step, which is on the disk when it returns, the token is marked as used and the new key is added,
  /// with the networks and labels of the token. auth_failed: the token is not, or no longer, valid.
  Result<Enrolled> enrol(std::string_view name, std::string_view token_kid, const Secret& new_key, WallTime now);

  // For KeyRegistration.

  /// A key or a password that is registered by a call.
  struct Registered {
    std::uint64_t number;
    std::string kid;
  };
  Result<Registered> add(Result<KeyLine> line);

  /// Null: that part stays. At most one of `key` and `password`. Returns the kid from then on.
  struct Change {
    const Secret* key = nullptr;
    const std::string_view* password = nullptr;
    const KeyTerms* terms = nullptr;
  };
  Result<std::string> change(std::uint64_t number, const Change& change);
  void drop(std::uint64_t number) noexcept;

 private:
  class ChangeNotice;

  [[nodiscard]] Result<void> check_new(const KeyEntry& entry) const;
  [[nodiscard]] const KeyEntry* find_anywhere(std::string_view name, std::string_view kid) const;
  [[nodiscard]] std::string why_no_key(const KeyEntry* entry, std::string_view name, std::string_view kid) const;
  [[nodiscard]] std::string unknown(std::string_view name, std::string_view kid) const;
  [[nodiscard]] std::string conflict_with_calls(const KeyTable& table) const;
  void look(WallTime now, bool at_once);
  void take_over(const Result<KeyFileContent>& content, KeyTable table, std::uint64_t look, WallTime now);
  void tell(LogLevel level, std::string message);

  const std::string path_ = {};

  mutable std::mutex mutex_;  // guards everything below; the private functions above need it locked, except look()
  KeyTable of_file_;
  KeyTable of_calls_;  // also enrolled keys if there is no file
  std::uint64_t generation_ = 1;
  std::uint64_t last_number_ = 0;

  // Looks at the file happen without the mutex, so they are numbered: a result older than the last one is ignored.
  std::uint64_t looks_ = 0;
  std::uint64_t last_look_ = 0;
  FileStamp stamp_;
  bool is_settled_ = false;           // any further write to the file will change its stamp
  std::string problem_;               // found by the last look; empty: none
  std::deque<LogRecord> news_;        // the most recent records
  std::uint64_t told_news_ = 0;       // the number of all records so far
  std::uint64_t before_problem_ = 0;  // the number of records before that of `problem_`
  std::uint64_t heard_ = 0;           // of the callers without their own `heard`

  std::vector<std::weak_ptr<const std::function<void()>>> told_;  // called after changes
};

}  // namespace remsh::auth
