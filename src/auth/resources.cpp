#include "auth/resources.hpp"

#include "auth/handshake_grammar.hpp"
#include "base/decimal.hpp"
#include "base/format.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace remsh::auth {

namespace {

constexpr std::size_t max_resources = 32;
constexpr std::size_t max_resources_text = 256;  // of the registration: docs/protocol.md section 4

Failure unfit(std::string what) { return {Errc::invalid_argument, std::move(what), 0}; }

bool is_resource_count(std::uint64_t count) { return count >= 1 && count <= max_resource; }

std::string text_of(const Resources& resources) {
  std::string text;
  for (const auto& [name, count] : resources) text += formatted("{}{}={}", text.empty() ? "" : " ", name, count);
  return text;
}

}  // namespace

Result<void> check_resources(std::uint64_t slots, const Resources& resources) {
  if (!is_resource_count(slots)) return unfit("a slave has 1 to 1,000,000,000 slots");
  if (resources.size() > max_resources) return unfit("there are at most 32 resources");
  for (const auto& [name, count] : resources) {
    if (!is_slave_name(name)) {
      return unfit(formatted("the name of the resource {} is not 1 to 64 of A-Z a-z 0-9 . _ -", in_quotes(name)));
    }
    if (name == slots_name) return unfit("slots are not one of the resources: they have an option of their own");
    if (!is_resource_count(count)) {
      return unfit(formatted("there are 1 to 1,000,000,000 of the resource '{}', or it is left out", name));
    }
  }
  if (resources_text(slots, resources).size() > max_resources_text) {
    return unfit("the resources have more than 256 bytes together");
  }
  return {};
}

std::string resources_text(std::uint64_t slots, Resources resources) {
  if (slots != default_slots) resources.emplace(slots_name, slots);
  return text_of(resources);
}

std::optional<Resources> parse_resources(std::string_view text) {
  if (text.size() > max_resources_text) return std::nullopt;
  Resources resources;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view word = rest.substr(0, rest.find(' '));
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    const std::size_t equals = word.find('=');
    if (equals == std::string_view::npos || !is_slave_name(word.substr(0, equals))) return std::nullopt;
    const auto count = parse_number(word.substr(equals + 1));
    if (!count || !is_resource_count(*count)) return std::nullopt;
    resources.emplace(word.substr(0, equals), *count);
  }
  // Only the text in order, without repetition and without blanks at its end, is the same again.
  if (resources.size() > max_resources + 1 || text_of(resources) != text) return std::nullopt;
  return resources;
}

}  // namespace remsh::auth
