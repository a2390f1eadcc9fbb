#include "base/misuse.hpp"

#include <cstdio>
#include <cstdlib>

namespace remsh {

void misuse(const char* what) noexcept {
  std::fprintf(stderr, "remsh: this program is wrong: %s\n", what);
  std::abort();
}

}  // namespace remsh
