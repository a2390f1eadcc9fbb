// The slots and the counted resources that a slave announces: their form in a registration. Pure.
#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace remsh::auth {

/// Counts by name.
using Resources = std::map<std::string, std::uint64_t>;

/// The name of slots among the resources: those that a slave has without announcing any.
inline constexpr std::string_view slots_name = "slots";
inline constexpr std::uint64_t default_slots = 1;
inline constexpr std::uint64_t max_resource = 1'000'000'000;

/// invalid_argument, with what is wrong, unless a slave may announce them.
Result<void> check_resources(std::uint64_t slots, const Resources& resources);

/// NAME=COUNT, separated by one space, in the order of the names, with the slots unless they are default_slots.
std::string resources_text(std::uint64_t slots, Resources resources);

/// What a text of resources_text() says, slots among the resources; nullopt for any other text.
std::optional<Resources> parse_resources(std::string_view text);

}  // namespace remsh::auth
