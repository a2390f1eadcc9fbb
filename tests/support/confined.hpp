// confined: the ways to keep a path beneath a directory.
#pragma once

#include "os/at.hpp"

namespace remsh::test {

/// The kernel's way, and our own.
inline constexpr At::Reach confined[] = {At::Reach::beneath, At::Reach::beneath_by_walking};

}  // namespace remsh::test
