// Bytes made fit to be shown.
#include "base/text.hpp"

#include <doctest/doctest.h>

using namespace std::string_view_literals;

TEST_CASE("a prefix is taken away if it is there, and once") {
  CHECK(remsh::without_prefix("a: a: b", "a: ") == "a: b");
  CHECK(remsh::without_prefix("b", "a: ") == "b");
  CHECK(remsh::without_prefix("", "") == "");
}

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

TEST_CASE("what a terminal or a reader of lines would obey is shown in hex, however it is written") {
  CHECK(remsh::without_controls("\xC2\x9B"
                                "31m") == R"(\xC2\x9B31m)");  // CSI of eight bits
  CHECK(remsh::without_controls("a\xC2\x85"
                                "b") == R"(a\xC2\x85b)");  // next line
  CHECK(remsh::without_controls("a\xE2\x80\xA8"
                                "b") == R"(a\xE2\x80\xA8b)");  // line separator
  CHECK(remsh::without_controls("a\xE2\x80\xAE"
                                "b") == R"(a\xE2\x80\xAEb)");  // right to left
  CHECK(remsh::without_controls("a\xE2\x81\xA9"
                                "b") == R"(a\xE2\x81\xA9b)");
  CHECK(remsh::without_controls("\xE2\x82\xAC \xF0\x9F\x98\x80 \xC2\xA0") == "\xE2\x82\xAC \xF0\x9F\x98\x80 \xC2\xA0");
}

TEST_CASE("bytes that are no UTF-8 are shown in hex") {
  CHECK(remsh::without_controls("\x9B"
                                "31m") == R"(\x9B31m)");
  CHECK(remsh::without_controls("caf\xE9 x") == R"(caf\xE9 x)");
  CHECK(remsh::without_controls("\xC2") == R"(\xC2)");
  CHECK(remsh::without_controls("\xC0\x8A") == R"(\xC0\x8A)");          // a newline in two bytes
  CHECK(remsh::without_controls("\xE0\x80\x8A") == R"(\xE0\x80\x8A)");  // and in three
  CHECK(remsh::without_controls("\xED\xA0\x80") == R"(\xED\xA0\x80)");  // half of a pair
  CHECK(remsh::without_controls("\xF5\x80\x80\x80") == R"(\xF5\x80\x80\x80)");
}
