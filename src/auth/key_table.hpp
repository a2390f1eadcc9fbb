// KeyTable: keys and passwords by the names of their slaves, and the rules for their validity. Pure.
#pragma once

#include "auth/key_line.hpp"
#include "base/result.hpp"
#include "transport/network.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace remsh::auth {

struct KeyEntry {
  KeyLine line;
  std::vector<Network> networks = {};  ///< the networks of the line
  std::uint64_t number = 0;            ///< the number of its registration by a call

  friend bool operator==(const KeyEntry&, const KeyEntry&) = default;
};

KeyEntry key_entry_of(KeyLine line, std::uint64_t number = 0);

/// Keys and passwords by the names of their slaves. An entry is also found by its kid alone, and by the number of its
/// registration, without a look at all others: a master may have a hundred thousand. One thread at a time.
class KeyTable {
 public:
  using Names = std::map<std::string, std::vector<KeyEntry>, std::less<>>;

  KeyTable() = default;
  explicit KeyTable(std::vector<KeyLine> lines);
  KeyTable(KeyTable&&) = default;
  KeyTable& operator=(KeyTable&&) = default;
  KeyTable(const KeyTable&) = delete;
  KeyTable& operator=(const KeyTable&) = delete;
  ~KeyTable() = default;

  [[nodiscard]] const Names& names() const noexcept { return names_; }

  /// The entries of one name.
  [[nodiscard]] std::span<const KeyEntry> of(std::string_view name) const;

  /// Null if there is none. The caller may mark it as used, and changes nothing else of it.
  [[nodiscard]] const KeyEntry* find(std::string_view name, std::string_view kid) const;
  [[nodiscard]] KeyEntry* find(std::string_view name, std::string_view kid);

  /// All entries with this kid: more than one if keys differ and have the same.
  [[nodiscard]] std::vector<const KeyEntry*> with_kid(const std::string& kid) const;

  /// The entry that was registered by a call with this number; null if there is none.
  [[nodiscard]] const KeyEntry* registered(std::uint64_t number) const;

  void add(KeyEntry entry);

  /// Replaces the entry that was registered with the number of this one, and has its name.
  void replace(KeyEntry entry);

  /// Removes what was registered with this number. False if there is nothing.
  bool drop(std::uint64_t number) noexcept;

  friend bool operator==(const KeyTable& a, const KeyTable& b) { return a.names_ == b.names_; }

 private:
  [[nodiscard]] KeyEntry* registered_here(std::uint64_t number);
  void forget_kid(const KeyEntry& entry) noexcept;

  Names names_;
  std::unordered_multimap<std::string, const std::string*> names_by_kid_;  // the keys of names_
  std::unordered_map<std::uint64_t, const std::string*> names_by_number_;
};

/// Why a key is no longer valid: it is used or expired. Empty if it is valid.
std::string why_over(const KeyLine& line, WallTime now);

/// Like why_over(), but also why a peer of that address may not use the key.
std::string why_not(const KeyEntry& entry, const std::optional<IpAddress>& from, WallTime now);

/// For the log: a slave named a key by the id of a password.
inline constexpr const char* not_a_key = "a password, not a key";

/// auth_failed unless a slave may enrol with this key.
Result<void> check_token(const KeyLine& token, WallTime now);

/// in_use if a key cannot exist beside those of a table, which may contain an older form of it. `where` names the table
/// in the message.
Result<void> check_beside(const KeyEntry& entry, const KeyTable& table, std::string_view where);

/// How many keys of `from` are missing in `in`.
std::size_t count_missing(const KeyTable& from, const KeyTable& in);

}  // namespace remsh::auth
