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

KeyTable::KeyTable(std::vector<KeyLine> lines) {
  for (KeyLine& line : lines) add(key_entry_of(std::move(line)));
}

std::span<const KeyEntry> KeyTable::of(std::string_view name) const {
  const auto entries = names_.find(name);
  return entries == names_.end() ? std::span<const KeyEntry>() : std::span<const KeyEntry>(entries->second);
}

const KeyEntry* KeyTable::find(std::string_view name, std::string_view kid) const {
  for (const KeyEntry& entry : of(name)) {
    if (entry.line.kid == kid) return &entry;
  }
  return nullptr;
}

KeyEntry* KeyTable::find(std::string_view name, std::string_view kid) {
  return const_cast<KeyEntry*>(std::as_const(*this).find(name, kid));
}

std::vector<const KeyEntry*> KeyTable::with_kid(const std::string& kid) const {
  std::vector<const KeyEntry*> found;
  const auto [begin, end] = names_by_kid_.equal_range(kid);
  for (auto at = begin; at != end; ++at) found.push_back(find(*at->second, kid));
  return found;
}

const KeyEntry* KeyTable::registered(std::uint64_t number) const {
  const auto name = names_by_number_.find(number);
  if (name == names_by_number_.end()) return nullptr;
  const auto entries = of(*name->second);
  return &*std::find_if(entries.begin(), entries.end(),
                        [number](const KeyEntry& entry) { return entry.number == number; });
}

KeyEntry* KeyTable::registered_here(std::uint64_t number) {
  return const_cast<KeyEntry*>(std::as_const(*this).registered(number));
}

void KeyTable::add(KeyEntry entry) {
  const auto at = names_.try_emplace(entry.line.name).first;
  at->second.reserve(at->second.size() + 1);
  // Only the first of these has something to be undone if there is no memory for the second; an empty name does no
  // harm.
  const auto kid = names_by_kid_.emplace(entry.line.kid, &at->first);
  try {
    if (entry.number != 0) names_by_number_.emplace(entry.number, &at->first);
  } catch (...) {
    names_by_kid_.erase(kid);
    throw;
  }
  at->second.push_back(std::move(entry));
}

void KeyTable::replace(KeyEntry entry) {
  KeyEntry* const old = registered_here(entry.number);
  names_by_kid_.emplace(entry.line.kid, names_by_number_.at(entry.number));
  forget_kid(*old);
  *old = std::move(entry);
}

bool KeyTable::drop(std::uint64_t number) noexcept {
  KeyEntry* const entry = registered_here(number);
  if (entry == nullptr) return false;
  const auto at = names_.find(entry->line.name);
  forget_kid(*entry);
  names_by_number_.erase(number);
  at->second.erase(at->second.begin() + (entry - at->second.data()));
  if (at->second.empty()) names_.erase(at);
  return true;
}

/// Removes an entry from the kids.
void KeyTable::forget_kid(const KeyEntry& entry) noexcept {
  const auto [begin, end] = names_by_kid_.equal_range(entry.line.kid);
  const auto at = std::find_if(begin, end, [&](const auto& one) { return *one.second == entry.line.name; });
  names_by_kid_.erase(at);
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
  for (const KeyEntry* const other : table.with_kid(entry.line.kid)) {
    const bool is_itself = entry.number != 0 && other->number == entry.number;
    const std::string& name = other->line.name;
    if (is_itself || (other->line.key != entry.line.key && name != entry.line.name)) continue;
    if (entry.line.password && other->line.password) {
      return Failure{Errc::in_use, formatted("this password is {} for '{}'", where, name), 0};
    }
    return Failure{Errc::in_use,
                   formatted("the key {} is {} for '{}': each slave has a key of its own, so make another",
                             entry.line.kid, where, name),
                   0};
  }
  return {};
}

std::size_t count_missing(const KeyTable& from, const KeyTable& in) {
  std::size_t count = 0;
  for (const auto& [name, entries] : from.names()) {
    for (const KeyEntry& entry : entries) {
      const KeyEntry* const other = in.find(name, entry.line.kid);
      if (other == nullptr || other->line.key != entry.line.key) ++count;
    }
  }
  return count;
}

}  // namespace remsh::auth
