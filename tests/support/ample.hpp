// ample: how long a test waits at most.
#pragma once

#include <chrono>

namespace remsh::test {

/// Far longer than any step of a test takes, even on a busy machine.
inline constexpr std::chrono::seconds ample{60};

}  // namespace remsh::test
