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
#include <string>
#include <string_view>
#include <vector>

namespace remsh::auth {

struct KeyEntry {
  KeyLine line;
  std::vector<Network> networks = {};  ///< the networks of the line
  std::uint64_t number = 0;            ///< the number of its registration by a call

  friend bool operator==(const KeyEntry&, const KeyEntry&) = default;
};

using KeyTable = std::map<std::string, std::vector<KeyEntry>, std::less<>>;

KeyEntry key_entry_of(KeyLine line, std::uint64_t number = 0);
KeyTable key_table_of(std::vector<KeyLine> lines);

/// Null if there is none.
const KeyEntry* find_key(const KeyTable& table, std::string_view name, std::string_view kid);

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
