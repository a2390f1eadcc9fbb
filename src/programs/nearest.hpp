// nearest(): finds the known word that a mistyped one may stand for.
#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace remsh::program {

/// The known word that needs the fewest letters added, removed, replaced or swapped, or that begins with this word;
/// nullopt if none is similar.
std::optional<std::string_view> nearest(std::string_view word, std::span<const std::string_view> known);

}  // namespace remsh::program
