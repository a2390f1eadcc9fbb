#include "operations/exclude.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace remsh;
using namespace remsh::operations;

namespace {

/// Whether a pattern leaves out the entry of this path.
bool pattern_excludes(const Bytes& pattern, std::vector<Bytes> path) {
  REQUIRE(why_not_pattern(pattern).empty());
  const Bytes name = path.back();
  path.pop_back();
  return Exclude({"never", pattern}).matches(path, name);
}

}  // namespace

TEST_CASE("a pattern without a slash is compared with the name of every entry") {
  CHECK(pattern_excludes("*.o", {"a.o"}));
  CHECK(pattern_excludes("*.o", {"src", "deep", "a.o"}));
  CHECK(pattern_excludes("*.o", {".o"}));
  CHECK_FALSE(pattern_excludes("*.o", {"a.op"}));
  CHECK_FALSE(pattern_excludes("*.o", {"a.o", "b"}));  // what is below an entry is not asked for
  CHECK(pattern_excludes(".git", {"sub", ".git"}));
  CHECK_FALSE(pattern_excludes(".git", {".gitignore"}));
  CHECK(pattern_excludes("?", {"\xff"}));
  CHECK_FALSE(pattern_excludes("?", {"ab"}));
  CHECK(pattern_excludes("a*b*c", {"a-b-b-c"}));
  CHECK_FALSE(pattern_excludes("a*b*c", {"a-b-b-c-"}));
  CHECK(pattern_excludes("*", {"anything"}));
  CHECK(pattern_excludes("[a]", {"[a]"}));  // which is not special
  CHECK_FALSE(pattern_excludes("[a]", {"a"}));
  CHECK(pattern_excludes("\\", {"\\"}));
}

TEST_CASE("a pattern with a slash is compared with the path from the top") {
  CHECK(pattern_excludes("/build", {"build"}));
  CHECK_FALSE(pattern_excludes("/build", {"src", "build"}));
  CHECK(pattern_excludes("doc/*.html", {"doc", "a.html"}));
  CHECK(pattern_excludes("/doc/*.html", {"doc", "a.html"}));
  CHECK_FALSE(pattern_excludes("doc/*.html", {"doc", "sub", "a.html"}));
  CHECK_FALSE(pattern_excludes("doc/*.html", {"sub", "doc", "a.html"}));
  CHECK(pattern_excludes("*/x/?", {"any", "x", "1"}));
}

TEST_CASE("what is not a pattern is refused with the reason") {
  for (const Bytes& text : {Bytes(), Bytes("/"), Bytes("a/"), Bytes("a//b"), Bytes("//a"), Bytes("."), Bytes("../a"),
                            Bytes("a/./b"), Bytes("a\0b", 3)}) {
    CAPTURE(text);
    CHECK_FALSE(why_not_pattern(text).empty());
  }
}

TEST_CASE("a comparison takes no exponential time") {
  Bytes pattern;
  for (int i = 0; i < 100; ++i) pattern += "*a";
  CHECK_FALSE(pattern_excludes(pattern + "b", {Bytes(255, 'a')}));
}

TEST_CASE("without patterns nothing is left out") { CHECK_FALSE(Exclude().matches({}, "a")); }
