// Tests of random bytes.
#include "os/random.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <span>
#include <string>

TEST_CASE("random bytes fill the whole buffer, and differ each time") {
  std::string one(1000, '\0');
  std::string other(1000, '\0');
  remsh::random_bytes(one);
  remsh::random_bytes(other);
  CHECK(one != other);
  // By chance a run of 32 zeros does not come; a part that was left out would be one.
  CHECK(one.find(std::string(32, '\0')) == std::string::npos);
  CHECK(other.find(std::string(32, '\0')) == std::string::npos);
}

TEST_CASE("no random bytes are none") { remsh::random_bytes(std::span<char>()); }
