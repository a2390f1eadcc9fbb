// KeyTable: keys by the names of their slaves, and what counts among them. Pure.
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
  std::vector<Network> networks = {};  ///< those of the line
  std::uint64_t number = 0;            ///< of its registration by a call

  friend bool operator==(const KeyEntry&, const KeyEntry&) = default;
};

using KeyTable = std::map<std::string, std::vector<KeyEntry>, std::less<>>;

KeyEntry key_entry_of(KeyLine line, std::uint64_t number = 0);
KeyTable key_table_of(std::vector<KeyLine> lines);

/// Null if there is none.
const KeyEntry* find_key(const KeyTable& table, std::string_view name, std::string_view kid);

/// Why a key does not count any more: it is used, or its time is over. Empty if it does.
std::string why_over(const KeyLine& line, WallTime now);

/// The same, or why a peer of that address may not use it.
std::string why_not(const KeyEntry& entry, const std::optional<IpAddress>& from, WallTime now);

/// auth_failed unless a slave may enrol with this key.
Result<void> check_token(const KeyLine& token, WallTime now);

/// in_use if a key cannot be there beside those of a table, which may have an older form of it. `where` says for the
/// message which table that is.
Result<void> check_beside(const KeyEntry& entry, const KeyTable& table, std::string_view where);

/// How many keys of the one table the other one does not have.
std::size_t count_missing(const KeyTable& from, const KeyTable& in);

}  // namespace remsh::auth
