// Tests of Box.
#include <remsh/connection/box.hpp>

#include <doctest/doctest.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

using remsh::Box;
using remsh::Bytes;

TEST_CASE("a box gives what was set, and nothing for what was not") {
  Box box{{"b", "2"}, {"a", Bytes("\0", 1)}};
  CHECK(box.size() == 2);
  CHECK(box.get("a") == Bytes("\0", 1));
  CHECK(box.get("b") == "2");
  CHECK_FALSE(box.get("c").has_value());
  CHECK_FALSE(Box(box).get("c").has_value());
  const auto kept = Box(box).get("b");  // of a box that is gone by now
  static_assert(std::is_same_v<decltype(kept), const std::optional<Bytes>>);
  CHECK(kept == "2");
  box.set("b", "");
  CHECK(box.get("b") == "");
  CHECK(box.erase("b"));
  CHECK_FALSE(box.erase("b"));
  CHECK_FALSE(box.has("b"));
}

TEST_CASE("a box keeps its keys in ascending order of their bytes") {
  Box box;
  for (const char* key : {"b", "\xff", "aa", "a", "B", "_ask"}) box.set(key, "");
  std::vector<Bytes> keys;
  for (const auto& field : box) keys.push_back(field.key);
  CHECK(keys == std::vector<Bytes>{"B", "_ask", "a", "aa", "b", "\xff"});
}

TEST_CASE("boxes are equal whatever the order they were filled in") {
  CHECK(Box{{"x", "1"}, {"y", "2"}} == Box{{"y", "2"}, {"x", "1"}});
  CHECK_FALSE(Box{{"x", "1"}} == Box{{"x", "2"}});
}

TEST_CASE("a key has 1 to 255 bytes, and comes once") {
  Box box;
  CHECK_THROWS_AS(box.set("", "x"), std::invalid_argument);
  CHECK_THROWS_AS(box.set(Bytes(256, 'k'), "x"), std::invalid_argument);
  box.set(Bytes(255, 'k'), "x");
  CHECK(box.size() == 1);
  CHECK_THROWS_AS((Box{{"a", "1"}, {"a", "1"}}), std::invalid_argument);
}

TEST_CASE("add() is set(), whatever the order of the keys") {
  Box box;
  for (const remsh::BytesView key : {"b", "d", "a", "d", "c"}) box.add(key, Bytes(key) + std::to_string(box.size()));
  CHECK(box == Box{{"a", "a2"}, {"b", "b0"}, {"c", "c3"}, {"d", "d3"}});
  CHECK_THROWS_AS(box.add("", "v"), std::invalid_argument);
  CHECK_THROWS_AS(box.add(Bytes(256, 'k'), "v"), std::invalid_argument);
}

TEST_CASE("a field is found among few and among many") {
  for (const int count : {1, 8, 9, 100}) {
    Box box;
    for (int i = 0; i < count; ++i) box.set("k" + std::to_string(i), std::to_string(i));
    for (int i = 0; i < count; ++i) CHECK(box.get("k" + std::to_string(i)) == std::to_string(i));
    CHECK_FALSE(box.has("k"));
    CHECK_FALSE(box.has("z"));
  }
}
