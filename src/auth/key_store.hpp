// KeyStore: what a KeyRing has, as the library asks for it.
#pragma once

#include "auth/key_file.hpp"
#include "auth/key_line.hpp"
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

/// The keys of a ring, from its file and from calls.
///
/// Thread-safe. What asks never blocks; refresh() and enrol() read and write the file. A listener calls refresh() twice
/// a second; after each change, and when next_expiry() has passed, it asks counts() for each live connection, and
/// closes those whose key does not.
class KeyStore {
 public:
  /// The keys of a ring.
  [[nodiscard]] static const std::shared_ptr<KeyStore>& of(const KeyRing& ring) noexcept { return ring.store_; }

  KeyStore() = default;

  /// One that follows a file, once open() has read it.
  explicit KeyStore(std::string path) : path_(std::move(path)) {}

  /// The first look at the file, which must be good.
  Result<void> open(WallTime now);

  /// What a claimed key is, or why it does not count.
  [[nodiscard]] KeyAnswer find(std::string_view name, std::string_view kid, const std::optional<IpAddress>& from,
                               WallTime now) const;

  /// As find(), wherever the peer is: for TLS, which find() is asked behind.
  [[nodiscard]] KeyAnswer claimed(std::string_view name, std::string_view kid, WallTime now) const;

  /// Whether a slave that has proven this key may stay.
  [[nodiscard]] bool counts(std::string_view name, std::string_view kid, const std::optional<IpAddress>& from,
                            WallTime now) const;

  /// Whether there is any key of that name, be it expired or used: no slave without a key may then have the name.
  [[nodiscard]] bool has(std::string_view name) const;

  /// Another one whenever anything has changed.
  [[nodiscard]] std::uint64_t generation() const;

  /// Calls a function, for as long as it lives, whenever anything has changed: at once, in the thread that changed it,
  /// without a lock. It must not block, nor throw.
  void on_change(std::weak_ptr<const std::function<void()>> told);

  /// When the next key expires after `now`.
  [[nodiscard]] std::optional<WallTime> next_expiry(WallTime now) const;

  /// Looks whether the file has changed, which costs one call of the system if it has not, and takes it over. Returns
  /// what is to be logged and the caller has not had yet. Each listener has a log of its own, and so a `heard` of its
  /// own, which begins with first_news(); null: one that is shared.
  std::vector<LogRecord> refresh(WallTime now, std::uint64_t* heard = nullptr);

  /// For who begins to follow now: the file may be bad already.
  [[nodiscard]] std::uint64_t first_news() const;

  struct Enrolled {
    std::string kid;    ///< of the new key
    std::string where;  ///< for the log: "stored in 'slaves.keys'"
  };

  /// Takes an invitation up: in one step, which is on the disk when it returns, the token is used and the new key is
  /// there, with its networks and labels. auth_failed: the token does not count (any more).
  Result<Enrolled> enrol(std::string_view name, std::string_view token_kid, const Secret& new_key, WallTime now);

  // For KeyRegistration.

  Result<std::uint64_t> add(std::string name, const Secret& key, KeyTerms terms);
  Result<void> change(std::uint64_t number, const Secret* key, const KeyTerms* terms);
  void drop(std::uint64_t number) noexcept;

 private:
  class ChangeNotice;

  [[nodiscard]] Result<void> check_new(const KeyEntry& entry) const;
  [[nodiscard]] const KeyEntry* find_anywhere(std::string_view name, std::string_view kid) const;
  [[nodiscard]] std::string unknown(std::string_view name, std::string_view kid) const;
  [[nodiscard]] std::string conflict_with_calls(const KeyTable& table) const;
  KeyEntry* registered(std::uint64_t number);
  KeyEntry* token_of_calls(std::string_view name, std::string_view kid);
  void look(WallTime now, bool at_once);
  void take_over(const Result<KeyFileContent>& content, KeyTable table, std::uint64_t look, WallTime now);
  void tell(LogLevel level, std::string message);

  const std::string path_ = {};

  mutable std::mutex mutex_;  // guards all below; the private functions above need it locked, except look()
  KeyTable of_file_;
  KeyTable of_calls_;  // also keys that were enrolled where there is no file
  std::uint64_t generation_ = 1;
  std::uint64_t last_number_ = 0;

  // Looks at the file, which are not made under the mutex: the one that began last tells how it is.
  std::uint64_t looks_ = 0;
  std::uint64_t last_look_ = 0;
  FileStamp stamp_;
  bool is_settled_ = false;           // whatever is written to the file from now on changes its stamp
  std::string problem_;               // of the last look; empty: none
  std::deque<LogRecord> news_;        // the last few
  std::uint64_t told_news_ = 0;       // how many there were, ever
  std::uint64_t before_problem_ = 0;  // how many there were before that of `problem_`
  std::uint64_t heard_ = 0;           // of those without a `heard` of their own

  std::vector<std::weak_ptr<const std::function<void()>>> told_;  // of changes
};

}  // namespace remsh::auth
