// Limits by name.
#include "os/resource_limit.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <string>

using namespace remsh;

TEST_CASE("a limit has a soft value and a hard one, or one for both") {
  const auto both = resource_limit_setting("nofile=64");
  REQUIRE(both.ok());
  CHECK(both->resource == RLIMIT_NOFILE);
  CHECK(both->name == "nofile");
  CHECK(both->limit.rlim_cur == 64);
  CHECK(both->limit.rlim_max == 64);
  const auto two = resource_limit_setting("cpu=1:unlimited");
  REQUIRE(two.ok());
  CHECK(two->resource == RLIMIT_CPU);
  CHECK(two->limit.rlim_cur == 1);
  CHECK(two->limit.rlim_max == RLIM_INFINITY);
}

TEST_CASE("a limit without a name of the system or with a malformed value is refused") {
  for (const std::string text :
       {"=1", "nofiles=1", "NOFILE=1", "nofile", "nofile=", "nofile=x", "nofile=-1", "nofile=1:", "nofile=:1",
        "nofile=1:2:3", "nofile=01", "nofile=18446744073709551615"}) {
    CAPTURE(text);
    const auto setting = resource_limit_setting(text);
    REQUIRE_FALSE(setting.ok());
    CHECK(setting.failure().code == Errc::invalid_argument);
  }
}
