#include "auth/handshake_grammar.hpp"

#include "base/decimal.hpp"
#include "os/random.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace remsh::auth {
namespace {

constexpr std::array refusal_words{std::pair(Refusal::name_in_use, BytesView("name_in_use")),
                                   std::pair(Refusal::draining, BytesView("draining")),
                                   std::pair(Refusal::full, BytesView("full")),
                                   std::pair(Refusal::features, BytesView("features")),
                                   std::pair(Refusal::rejected, BytesView("rejected")),
                                   std::pair(Refusal::checked, BytesView("checked"))};

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alphanumeric(char c) { return is_lower(c) || is_digit(c) || (c >= 'A' && c <= 'Z'); }

/// The elements of a list: separated by one space, ascending, without duplicates, and each `good`.
template <class Predicate>
std::optional<std::vector<std::string>> parse_list(BytesView text, Predicate good) {
  std::vector<std::string> list;
  while (!text.empty() || !list.empty()) {
    const auto end = std::min(text.find(' '), text.size());
    const BytesView element = text.substr(0, end);
    if (!good(element) || (!list.empty() && list.back().compare(element) >= 0)) return std::nullopt;
    list.emplace_back(element);
    if (end == text.size()) break;
    text.remove_prefix(end + 1);
  }
  return list;
}

}  // namespace

bool is_slave_name(BytesView text) noexcept {
  return !text.empty() && text.size() <= 64 && is_alphanumeric(text.front()) &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '-'; });
}

bool is_feature_name(BytesView text) noexcept {
  return !text.empty() && text.size() <= 32 &&
         std::all_of(text.begin(), text.end(), [](char c) { return is_lower(c) || is_digit(c) || c == '-'; });
}

Bytes new_nonce() {
  Bytes nonce(nonce_size, '\0');
  random_bytes(nonce);
  return nonce;
}

bool is_number(BytesView text) noexcept { return from_decimal(text).has_value(); }

std::optional<std::vector<std::string>> parse_features(BytesView text) {
  if (text.size() > max_features) return std::nullopt;
  return parse_list(text, is_feature_name);
}

bool is_feature_list(BytesView text) { return parse_features(text).has_value(); }

std::optional<std::vector<std::string>> parse_versions(BytesView text) { return parse_list(text, is_number); }

bool is_version_list(BytesView text) { return parse_versions(text).has_value(); }

Bytes join(const std::vector<std::string>& list) {
  Bytes text;
  for (const std::string& element : list) text += (text.empty() ? "" : " ") + element;
  return text;
}

void sort_features(std::vector<std::string>& features) {
  assert(std::all_of(features.begin(), features.end(), is_feature_name));
  std::sort(features.begin(), features.end());
  features.erase(std::unique(features.begin(), features.end()), features.end());
  assert(join(features).size() <= max_features);
}

std::string_view to_string(Refusal refusal) noexcept {
  for (const auto& [value, word] : refusal_words) {
    if (value == refusal) return word;
  }
  return "rejected";
}

Refusal refusal_of(BytesView word) noexcept {
  for (const auto& [value, known] : refusal_words) {
    if (known == word) return value;
  }
  return Refusal::rejected;
}

Sha256 new_transcript(BytesView binding) {
  Sha256 transcript;
  transcript.update(binding.empty() ? Bytes(binding_size, '\0') : binding);
  return transcript;
}

Bytes hash_with(const Sha256& transcript, BytesView body) {
  Sha256 longer = transcript;
  longer.update(body);
  return longer.digest();
}

}  // namespace remsh::auth
