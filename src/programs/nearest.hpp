// Which known word a mistyped one was meant to be.
#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace remsh::program {

/// The known word that takes the fewest letters added, left out, replaced or swapped, or that begins like this one;
/// nullopt if none is similar.
std::optional<std::string_view> nearest(std::string_view word, std::span<const std::string_view> known);

}  // namespace remsh::program
