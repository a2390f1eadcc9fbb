#include "base/decimal.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <random>
#include <string>

using namespace remsh;

TEST_CASE("a decimal number comes back from its digits") {
  std::mt19937_64 random(1);
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t number = random() >> (random() % 64);
    CAPTURE(number);
    const std::string digits = std::to_string(number);
    CHECK(from_decimal(digits) == number);
    CHECK(BytesView(Decimal(number)) == digits);
  }
  constexpr auto most = std::numeric_limits<std::uint64_t>::max();
  CHECK(from_decimal("18446744073709551615") == most);
  CHECK(from_decimal("9999999999999999999") == 9999999999999999999U);
  CHECK(from_decimal("0") == 0);
  CHECK(BytesView(Decimal(most)) == "18446744073709551615");
  CHECK(BytesView(Decimal(std::numeric_limits<std::int64_t>::min())) == "-9223372036854775808");
}

TEST_CASE("what is no decimal number of 64 bits is refused") {
  for (const char* const text :
       {"", "00", "01", "-1", "+1", " 1", "1 ", "1.0", "1/2", "1:", "0x1", "18446744073709551616",
        "99999999999999999999", "100000000000000000000", "1844674407370955161x", "x8446744073709551615"}) {
    CAPTURE(text);
    CHECK_FALSE(from_decimal(text).has_value());
  }
  CHECK(parse_number("9999999999999999999").has_value());
  CHECK_FALSE(parse_number("10000000000000000000").has_value());
}
