// fmt's own sources, compiled once and header-only, so that nothing has to be linked.
#define FMT_HEADER_ONLY
#define REMSH_FMT_SOURCES
#include "base/format.hpp"

namespace remsh {

std::string format_values(remsh_fmt::string_view text, remsh_fmt::format_args values) {
  return remsh_fmt::vformat(text, values);
}

}  // namespace remsh
