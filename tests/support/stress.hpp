// What the stress programs share: repeatable random numbers, and settings from the environment.
#pragma once

#include <cstdlib>
#include <random>
#include <string>

namespace remsh::test {

using Random = std::mt19937;

inline bool one_in(Random& random, unsigned n) { return random() % n == 0; }

inline std::string setting(const char* name, const std::string& otherwise) {
  const char* const value = std::getenv(name);
  return value != nullptr ? value : otherwise;
}

}  // namespace remsh::test
