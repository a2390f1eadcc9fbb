// Bytes made fit to be shown.
#include "base/text.hpp"

#include <doctest/doctest.h>

using namespace std::string_view_literals;

TEST_CASE("printable ASCII is shown as it is") {
  CHECK(remsh::escaped("a b~!'\"9") == "a b~!'\"9");
  CHECK(remsh::escaped("").empty());
}

TEST_CASE("bytes that are not printable ASCII are shown in hex") {
  CHECK(remsh::escaped("a\0b\n\x1B\x7F\x80\xFF"sv) == R"(a\x00b\x0A\x1B\x7F\x80\xFF)");
}

TEST_CASE("a backslash is doubled, so that different bytes are shown differently") {
  CHECK(remsh::escaped(R"(\x00)") == R"(\\x00)");
}

TEST_CASE("a sentence keeps its letters and loses its control bytes") {
  CHECK(remsh::without_controls("Datei 'a\\b' fehlt: \xC3\xBC\n\x1B[31m"sv) ==
        "Datei 'a\\b' fehlt: \xC3\xBC\\x0A\\x1B[31m");
}
