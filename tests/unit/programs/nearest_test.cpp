// Which known word a mistyped one was meant to be.
#include "programs/nearest.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <string_view>

namespace remsh::program {

TEST_CASE("the nearest word has the fewest letters wrong, or begins alike") {
  constexpr std::array<std::string_view, 6> known{"name", "basedir", "retry-max", "root", "allow", "no-execute"};
  const auto meant = [&known](std::string_view word) { return nearest(word, known).value_or("-"); };
  CHECK(meant("nam") == "name");      // left out
  CHECK(meant("namme") == "name");    // added
  CHECK(meant("nome") == "name");     // replaced
  CHECK(meant("nmae") == "name");     // swapped
  CHECK(meant("base") == "basedir");  // begins alike
  CHECK(meant("rooted") == "root");   // begins alike
  CHECK(meant("retrymax") == "retry-max");
  CHECK(meant("noexecute") == "no-execute");
  CHECK(meant("name") == "name");
}

TEST_CASE("a word that is like none has no nearest one") {
  constexpr std::array<std::string_view, 2> known{"name", "basedir"};
  for (const std::string& word : {std::string(), std::string("x"), std::string("frobnicate"), std::string(65, 'n')}) {
    CAPTURE(word);
    CHECK_FALSE(nearest(word, known).has_value());
  }
  CHECK_FALSE(nearest("name", {}).has_value());
}

}  // namespace remsh::program
