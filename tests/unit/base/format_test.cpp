// Text with values in it.
#include "base/format.hpp"
#include "base/text.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace remsh::test {

TEST_CASE("values of every kind that messages have are put in their places") {
  const std::string name = "a b";
  const std::string_view part = std::string_view(name).substr(0, 1);
  CHECK(formatted("{} {} {} {} {}", name, part, "end", 'c', in_quotes(name)) == "a b a end c 'a b'");
  CHECK(formatted("{} {}", std::numeric_limits<std::uint64_t>::max(), std::numeric_limits<std::int64_t>::min()) ==
        "18446744073709551615 -9223372036854775808");
  CHECK(formatted("{:04o} {:02}:{:>3} {}", 0750, 7, 12, 1.5) == "0750 07: 12 1.5");
}

TEST_CASE("what is in a value is not read as a form") {
  const std::string text = "{} {0} {";
  CHECK(formatted("{{}} {}", text) == "{} {} {0} {");
  CHECK(formatted("{}", std::string("a\0b", 3)) == std::string("a\0b", 3));
}

}  // namespace remsh::test
