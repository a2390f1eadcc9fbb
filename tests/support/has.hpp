// has: whether a text has some words.
#pragma once

#include <string_view>

namespace remsh::test {

/// Whether `text` has `words` somewhere.
inline bool has(std::string_view text, std::string_view words) { return text.find(words) != std::string_view::npos; }

}  // namespace remsh::test
