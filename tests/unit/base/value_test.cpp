// Values as text: what Python's repr() gives.
#include <remsh/base/value.hpp>

#include "support/hex.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <string>

using namespace remsh;

TEST_CASE("a value is printed as Python prints it") {
  CHECK(to_string(Value()) == "None");
  CHECK(to_string(Value(true)) == "True");
  CHECK(to_string(Value(-7)) == "-7");
  CHECK(to_string(Value(2.25)) == "2.25");
  CHECK(to_string(Value(3.0)) == "3.0");
  CHECK(to_string(Value(-0.0)) == "-0.0");
  CHECK(to_string(Value(0.0001)) == "0.0001");
  CHECK(to_string(Value(0.00001)) == "1e-05");
  CHECK(to_string(Value(1e15)) == "1000000000000000.0");
  CHECK(to_string(Value(1e16)) == "1e+16");
  CHECK(to_string(Value(1.5e300)) == "1.5e+300");
  CHECK(to_string(Value(std::numeric_limits<double>::infinity())) == "inf");
  CHECK(to_string(Value(-std::numeric_limits<double>::infinity())) == "-inf");
  CHECK(to_string(Value(std::numeric_limits<double>::quiet_NaN())) == "nan");
  CHECK(to_string(Value::text("it's")) == R"("it's")");
  CHECK(to_string(Value::text("it's \"so\"")) == R"('it\'s "so"')");
  CHECK(to_string(Value::text("a\\b\n\t\r\x01")) == R"('a\\b\n\t\r\x01')");
  CHECK(to_string(Value::text("\xc3\xa9")) == "'\xc3\xa9'");
  CHECK(to_string(Value::bytes("\xc3 ok")) == R"(b'\xc3 ok')");
  CHECK(to_string(Value::tuple({1})) == "(1,)");
  CHECK(to_string(Value::tuple({})) == "()");
  CHECK(to_string(Value::set({})) == "set()");
  CHECK(to_string(Value::set({1, 2})) == "{1, 2}");
  CHECK(to_string(Value::dict({{Value::text("a"), Value::list({1, Value()})}, {2, false}})) ==
        "{'a': [1, None], 2: False}");
}

TEST_CASE("ints of any size are printed in decimal") {
  const auto large = [](const char* hex) {
    return to_string(Value(Value::What(Value::LargeInt{test::from_hex(hex)})));
  };
  CHECK(large("000000000000008000") == "9223372036854775808");
  CHECK(large("ffffffffffffff7fff") == "-9223372036854775809");
  CHECK(large("00000000000000000001") == "4722366482869645213696");
  CHECK(large("000000000000000080") == "-2361183241434822606848");
  CHECK(large("") == "0");
}

TEST_CASE("a value is made of every kind of int, and a dict is asked for its keys") {
  CHECK(Value(7U) == Value(7));
  CHECK(Value(7LL) == Value(7));
  CHECK(Value(std::size_t{7}) == Value(7));
  CHECK(Value(std::int8_t{-7}) == Value(-7));
  CHECK(to_string(Value(std::numeric_limits<std::uint64_t>::max())) == "18446744073709551615");
  CHECK(to_string(Value(std::uint64_t{1} << 63U)) == "9223372036854775808");
  const Value dict = Value::dict({{Value::text("a"), 1}, {2, Value::text("b")}, {2, Value::text("c")}});
  REQUIRE(dict.find(2));
  CHECK(*dict.find(2) == Value::text("c"));
  CHECK(*dict.find(Value::text("a")) == Value(1));
  CHECK(dict.find(3) == nullptr);
  CHECK(Value(1).find(1) == nullptr);
}
