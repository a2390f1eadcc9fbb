// What a test cannot check on this system is counted as skipped, not as passed.
#pragma once

#include <doctest/doctest.h>

#include <string>

namespace remsh::test {

/// The exit code of a test program, or of a piece of a test in a child, that could not check everything here. Meson
/// counts the test as skipped.
inline constexpr int skipped = 77;

/// How often skip() was called in this process.
inline int skips = 0;

/// Says that the rest of this test case cannot be checked here, and why; the case then has to return. The whole test
/// file counts as skipped, unless something in it fails.
inline void skip(const std::string& why) {
  ++skips;
  MESSAGE("skipped: ", why);
}

}  // namespace remsh::test
