// take_until(): goes through a text piece by piece.
#pragma once

#include <remsh/base/bytes.hpp>

#include <algorithm>
#include <cstddef>

namespace remsh {

/// Removes the text up to the first separator, and the separator, and returns that text; all of it if there is no
/// separator.
inline BytesView take_until(char separator, BytesView& text) noexcept {
  const std::size_t end = std::min(text.find(separator), text.size());
  const BytesView taken = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return taken;
}

}  // namespace remsh
