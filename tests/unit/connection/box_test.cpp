// Tests of Box.
#include <remsh/connection/box.hpp>

#include <doctest/doctest.h>

#include <map>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using remsh::Box;
using remsh::Bytes;
using remsh::BytesView;

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
  for (const auto& field : box) keys.emplace_back(field.key);
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
  CHECK(box.get(Bytes(255, 'k')) == "x");
  CHECK(box.size() == 1);
  CHECK_THROWS_AS((Box{{"a", "1"}, {"a", "1"}}), std::invalid_argument);
}

TEST_CASE("a box is filled in any order of the keys") {
  Box box;
  for (const BytesView key : {"b", "d", "a", "d", "c"}) box.set(key, Bytes(key) + std::to_string(box.size()));
  CHECK(box == Box{{"a", "a2"}, {"b", "b0"}, {"c", "c3"}, {"d", "d3"}});
  CHECK(box.bytes() == 12);
}

TEST_CASE("a value of a box may become another one of it, whatever moves meanwhile") {
  Box box{{"b", Bytes(100, 'b')}};
  for (const char* key : {"c", "a", "d", "a1", "b"}) box.set(key, *box.get("b"));
  for (const auto& field : Box(box)) CHECK(field.value == Bytes(100, 'b'));
  box.set(box.begin()->value.substr(0, 2), box.begin()->key);
  CHECK(box.get("bb") == "a");
  CHECK(box.size() == 6);
}

TEST_CASE("a box that was moved can be used again") {
  for (const std::size_t size : {1U, 100U}) {
    const Bytes value(size, 'v');
    Box from{{"a", value}, {"b", "2"}};
    Box to(std::move(from));
    CHECK(to == Box{{"a", value}, {"b", "2"}});
    CHECK(from.empty());  // NOLINT(bugprone-use-after-move): this is the question
    from.set("c", "3");
    from.set("a", "1");
    CHECK(from == Box{{"a", "1"}, {"c", "3"}});
    to = std::move(from);
    CHECK(to == Box{{"a", "1"}, {"c", "3"}});
    CHECK(from.begin() == from.end());  // NOLINT(bugprone-use-after-move)
  }
}

TEST_CASE("a box is what a map would be, after many changes") {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    Box box;
    std::map<Bytes, Bytes> expected;
    for (int change = 0; change < 60; ++change) {
      const Bytes key(1 + random() % 3, static_cast<char>('a' + random() % 6));
      if (random() % 4 == 0) {
        CHECK(box.erase(key) == (expected.erase(key) == 1));
      } else {
        const Bytes value(random() % 40, static_cast<char>(random()));
        box.set(key, value);
        expected[key] = value;
      }
      REQUIRE(box.size() == expected.size());
    }
    CAPTURE(seed);
    std::map<Bytes, Bytes> found;
    std::size_t bytes = 0;
    for (const auto& [key, value] : box) {
      CHECK((found.empty() || found.rbegin()->first < key));
      found.emplace(key, value);
      bytes += key.size() + value.size();
    }
    CHECK(found == expected);
    CHECK(box.bytes() == bytes);
    for (const auto& [key, value] : expected) CHECK(box.get(key) == value);
  }
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
