// A test that cannot check something on this system counts as skipped, not as passed.
#pragma once

#include <doctest/doctest.h>

#include <string>

namespace remsh::test {

/// The exit code of a test program, or of the child of a test, that could not check everything here. Meson counts the
/// test as skipped.
inline constexpr int skipped = 77;

/// How often skip() was called in this process.
inline int skips = 0;

/// Reports that the rest of this test case cannot be checked here, and why. The test case must then return. The whole
/// test file counts as skipped, unless something in it fails.
inline void skip(const std::string& why) {
  ++skips;
  MESSAGE("skipped: ", why);
}

}  // namespace remsh::test
