#include "base/connection_words.hpp"

#include "base/format.hpp"

#include <system_error>

namespace remsh {

std::string connection_broke(const char* action, int error) {
  return formatted(
      "the connection was lost ({}: {}): the process or the machine of the other side went down, or the network failed",
      action, std::generic_category().message(error));
}

}  // namespace remsh
