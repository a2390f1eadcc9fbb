#include "auth/key_table.hpp"

#include "base/format.hpp"
#include "base/utc_time.hpp"

#include <algorithm>
#include <utility>

namespace remsh::auth {

KeyEntry key_entry_of(KeyLine line, std::uint64_t number) {
  KeyEntry entry{std::move(line), {}, number};
  for (const std::string& network : entry.line.terms.networks) {
    if (auto parsed = Network::parse(network)) entry.networks.push_back(*parsed);
  }
  return entry;
}

KeyTable key_table_of(std::vector<KeyLine> lines) {
  KeyTable table;
  for (KeyLine& line : lines) {
    std::vector<KeyEntry>& entries = table[line.name];
    entries.push_back(key_entry_of(std::move(line)));
  }
  return table;
}

const KeyEntry* find_key(const KeyTable& table, std::string_view name, std::string_view kid) {
  const auto entries = table.find(name);
  if (entries == table.end()) return nullptr;
  const auto found = std::find_if(entries->second.begin(), entries->second.end(),
                                  [kid](const KeyEntry& entry) { return entry.line.kid == kid; });
  return found == entries->second.end() ? nullptr : &*found;
}

std::string why_over(const KeyLine& line, WallTime now) {
  const KeyTerms& terms = line.terms;
  if (line.used) return "token used, at " + to_utc_text(*line.used);
  if (terms.expires && *terms.expires <= now) return "line expired, at " + to_utc_text(*terms.expires);
  return {};
}

std::string why_not(const KeyEntry& entry, const std::optional<IpAddress>& from, WallTime now) {
  if (auto over = why_over(entry.line, now); !over.empty()) return over;
  const KeyTerms& terms = entry.line.terms;
  const bool is_within = from && std::any_of(entry.networks.begin(), entry.networks.end(),
                                             [&from](const Network& network) { return network.contains(*from); });
  if (!terms.networks.empty() && !is_within) return "network not allowed";
  return {};
}

Result<void> check_token(const KeyLine& token, WallTime now) {
  std::string why = why_over(token, now);
  if (why.empty() && !token.terms.is_invitation) why = token.password ? not_a_key : "a key used as a token";
  if (!why.empty()) return Failure{Errc::auth_failed, std::move(why), 0};
  return {};
}

Result<void> check_beside(const KeyEntry& entry, const KeyTable& table, std::string_view where) {
  for (const auto& [name, others] : table) {
    for (const KeyEntry& other : others) {
      const bool is_itself = entry.number != 0 && other.number == entry.number;
      if (is_itself || other.line.kid != entry.line.kid) continue;
      if (other.line.key != entry.line.key && name != entry.line.name) continue;
      if (entry.line.password && other.line.password) {
        return Failure{Errc::in_use, formatted("this password is {} for '{}'", where, name), 0};
      }
      return Failure{Errc::in_use,
                     formatted("the key {} is {} for '{}': each slave has a key of its own, so make another",
                               entry.line.kid, where, name),
                     0};
    }
  }
  return {};
}

std::size_t count_missing(const KeyTable& from, const KeyTable& in) {
  std::size_t count = 0;
  for (const auto& [name, entries] : from) {
    for (const KeyEntry& entry : entries) {
      const KeyEntry* const other = find_key(in, name, entry.line.kid);
      if (other == nullptr || other->line.key != entry.line.key) ++count;
    }
  }
  return count;
}

}  // namespace remsh::auth
