// Long values: cut for the wire, and joined again.
#include "connection/long_value.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <vector>

using namespace remsh;

namespace {

constexpr std::size_t full_part = Box::max_value;

/// Bytes of which no two parts are alike.
Bytes pattern(std::size_t size) {
  Bytes bytes;
  bytes.reserve(size + 8);
  for (std::size_t i = 0; bytes.size() < size; ++i) bytes += std::to_string(i) + '\0';
  bytes.resize(size);
  return bytes;
}

struct Part {
  Bytes key;
  std::size_t size;
  friend bool operator==(const Part&, const Part&) = default;
};

std::vector<Part> parts(const Box& box) {
  std::vector<Part> result;
  for (const auto& [key, value] : box) result.push_back({Bytes(key), value.size()});
  return result;
}

Box of(const std::vector<Part>& parts) {
  Box box;
  for (const auto& [key, size] : parts) box.set(key, pattern(size));
  return box;
}

}  // namespace

TEST_CASE("a value is cut into full parts and what remains") {
  struct Case {
    std::size_t size;
    std::vector<Part> parts;
  };
  const std::vector<Case> cases{
      {0, {{"v", 0}}},
      {full_part - 1, {{"v", full_part - 1}}},
      {full_part, {{"v", full_part}}},
      {full_part + 1, {{"v", full_part}, {"v~0001", 1}}},
      {2 * full_part, {{"v", full_part}, {"v~0001", full_part}}},
      {2 * full_part + 1, {{"v", full_part}, {"v~0001", full_part}, {"v~0002", 1}}},
  };
  for (const Case& one : cases) {
    CAPTURE(one.size);
    const Box whole{{"v", pattern(one.size)}};
    CHECK(has_long_value(whole) == (one.size > full_part));
    const auto cut = split_long_values(whole);
    REQUIRE(cut.ok());
    CHECK(parts(*cut) == one.parts);
    CHECK_FALSE(has_long_value(*cut));
    const auto joined = join_long_values(*cut);
    REQUIRE(joined.ok());
    CHECK((*joined == whole));
  }
}

TEST_CASE("continuations are numbered in hexadecimal, in lower case") {
  const auto cut = split_long_values(Box{{"v", pattern(11 * full_part)}});
  REQUIRE(cut.ok());
  CHECK(cut->has("v~0009"));
  CHECK(cut->has("v~000a"));
  CHECK(cut->size() == 11);
}

TEST_CASE("several long values among short ones keep apart") {
  const Box whole{{"a", pattern(70000)}, {"ab", "short"}, {"b", pattern(200000)}, {"b\x7f", "above the mark"}};
  auto cut = split_long_values(whole);
  REQUIRE(cut.ok());
  CHECK(cut->size() == 8);
  const auto joined = join_long_values(std::move(*cut));
  REQUIRE(joined.ok());
  CHECK((*joined == whole));
}

TEST_CASE("a value that fills its part and one that follows by the alphabet are not joined") {
  const Box box{{"v", pattern(full_part)}, {"v0001", pattern(full_part)}};
  CHECK((join_long_values(box).value() == box));
}

TEST_CASE("a box without continuations comes back as it was") {
  const Box box{{"_ask", "1"}, {"path", "~/x~0001"}};
  CHECK((join_long_values(box).value() == box));
  CHECK((join_long_values(Box()).value() == Box()));
}

TEST_CASE("what no box on the wire can hold is too large") {
  // One field: 2 bytes for each length, 1 for the key; the box ends with 2.
  const std::size_t most = std::size_t{1024} * 1024 - 7;
  CHECK(split_long_values(Box{{"v", Bytes(most, 'x')}}).ok());
  const auto cut = split_long_values(Box{{"v", Bytes(most + 1, 'x')}});
  REQUIRE_FALSE(cut.ok());
  CHECK(cut.failure().code == Errc::too_large);

  const std::size_t most_of_call = call_limits.bytes - 7 - 127 * (4 + 6);  // in 129 parts, with keys of 6 bytes
  CHECK(split_long_values(Box{{"v", Bytes(most_of_call, 'x')}}, call_limits).ok());
  CHECK_FALSE(split_long_values(Box{{"v", Bytes(call_limits.bytes, 'x')}}, call_limits).ok());
}

TEST_CASE("what has more fields than a box on the wire is too large, before it is split") {
  Box box{{"a", pattern(full_part + 1)}};
  for (std::size_t i = 1; i < call_limits.fields; ++i) box.set("b" + std::to_string(10'000 + i), "");
  CHECK(split_long_values(box, call_limits).ok());
  box.set("c", "");
  const auto cut = split_long_values(box, call_limits);
  REQUIRE_FALSE(cut.ok());
  CHECK(cut.failure().code == Errc::too_large);
}

TEST_CASE("a key that cannot be continued has no long value") {
  const Bytes longest(Box::max_key - 5, 'k');
  CHECK(split_long_values(of({{longest, full_part + 1}})).ok());
  for (const Bytes& key : {longest + 'k', Bytes("a~b")}) {
    const auto cut = split_long_values(of({{key, full_part + 1}}));
    REQUIRE_FALSE(cut.ok());
    CHECK(cut.failure().code == Errc::invalid_argument);
    CHECK(split_long_values(of({{key, full_part}})).ok());
  }
}

TEST_CASE("a long value does not go on in a key that is there already") {
  const auto cut = split_long_values(Box{{"v", Bytes(Box::max_value + 1, 'x')}, {"v~0001", "mine"}});
  REQUIRE_FALSE(cut.ok());
  CHECK(cut.failure().code == Errc::invalid_argument);
  CHECK(cut.failure().message.find("'v~0001'") != std::string::npos);
}

TEST_CASE("malformed continuations are refused, and named") {
  struct Case {
    std::vector<Part> parts;
    Bytes key;
  };
  const std::vector<Case> cases{
      {{{"v~0001", 1}}, "v~0001"},                                                     // no beginning
      {{{"v", full_part}, {"v~0002", 1}}, "v~0002"},                                   // the first is missing
      {{{"v", full_part}, {"v~0001", full_part}, {"v~0003", 1}}, "v~0003"},            // a gap
      {{{"v", full_part}, {"v~0000", 1}}, "v~0000"},                                   // counted from 0
      {{{"v", full_part - 1}, {"v~0001", 1}}, "v~0001"},                               // the beginning is not full
      {{{"v", 0}, {"v~0001", 1}}, "v~0001"},                                           // nor here
      {{{"v", full_part}, {"v~0001", full_part - 1}, {"v~0002", 1}}, "v~0002"},        // a middle part is not full
      {{{"v", full_part}, {"v~0001", 0}}, "v~0001"},                                   // continues with nothing
      {{{"v", full_part}, {"v~1", 1}}, "v~1"},                                         // too few digits
      {{{"v", full_part}, {"v~00001", 1}}, "v~00001"},                                 // too many
      {{{"v", full_part}, {"v~000A", 1}}, "v~000A"},                                   // upper case
      {{{"v", full_part}, {"v~000g", 1}}, "v~000g"},                                   // no digit
      {{{"v", full_part}, {"v~0001~0001", 1}}, "v~0001~0001"},                         // of a continuation
      {{{"v", full_part}, {"v~0001", full_part}, {"v~0001~0001", 1}}, "v~0001~0001"},  // of one that is there
      {{{"v", full_part}, {"v~", 1}}, "v~"},                                           // no number
      {{{"v", full_part}, {"~0001", 1}}, "~0001"},                                     // no key
      {{{"v", full_part}, {"w~0001", 1}}, "w~0001"},                                   // of another key
      {{{"tilde~in", 1}}, "tilde~in"},                                                 // no continuation at all
  };
  for (const Case& one : cases) {
    CAPTURE(one.key);
    const auto joined = join_long_values(of(one.parts));
    REQUIRE_FALSE(joined.ok());
    CHECK(joined.failure().code == Errc::invalid_argument);
    CHECK(joined.failure().message.find("'" + one.key + "'") != std::string::npos);
  }
}
