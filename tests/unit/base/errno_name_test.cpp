// errno values and their names.
#include "base/errno_name.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <string>

TEST_CASE("an errno value has its POSIX name, and the name its value") {
  CHECK(remsh::errno_name(ENOENT) == "ENOENT");
  CHECK(remsh::errno_value("ENOENT") == ENOENT);
  CHECK(remsh::errno_name(ENOTEMPTY) == "ENOTEMPTY");
  CHECK(remsh::errno_value("ENOTEMPTY") == ENOTEMPTY);
}

TEST_CASE("two names of one number are both known") {
  CHECK(remsh::errno_value("EAGAIN") == EAGAIN);
  CHECK(remsh::errno_value("EWOULDBLOCK") == EWOULDBLOCK);
  CHECK(remsh::errno_value("ENOTSUP") == ENOTSUP);
  CHECK(remsh::errno_value("EOPNOTSUPP") == EOPNOTSUPP);
}

TEST_CASE("every name leads back to its number") {
  int named = 0;
  for (int error = 1; error < 256; ++error) {
    const std::string name(remsh::errno_name(error));
    if (name.empty()) continue;
    ++named;
    CAPTURE(name);
    CHECK(remsh::errno_value(name) == error);
  }
  CHECK(named >= 70);
}

TEST_CASE("what has no name has none, and no number") {
  CHECK(remsh::errno_name(0).empty());
  CHECK(remsh::errno_name(-1).empty());
  CHECK(remsh::errno_name(1 << 20).empty());
  CHECK(remsh::errno_value("") == 0);
  CHECK(remsh::errno_value("ENO") == 0);
  CHECK(remsh::errno_value("ENOENTX") == 0);
  CHECK(remsh::errno_value(std::string_view("ENOENT\0", 7)) == 0);
}
