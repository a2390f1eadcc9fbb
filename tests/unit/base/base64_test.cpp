// Base64: the examples of RFC 4648, and what is refused.
#include "base/base64.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

using namespace remsh;

TEST_CASE("bytes are written and read as RFC 4648 has them") {
  struct Example {
    Bytes bytes;
    std::string text;
  };
  const std::vector<Example> examples{
      {"", ""},
      {"f", "Zg=="},
      {"fo", "Zm8="},
      {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="},
      {"fooba", "Zm9vYmE="},
      {"foobar", "Zm9vYmFy"},
      {Bytes(3, '\0'), "AAAA"},
      {Bytes("\xff"), "/w=="},
      {Bytes("\xfb\xef\xbe"), "++++"},
      {Bytes("w1:pw1"), "dzE6cHcx"},
  };
  for (const Example& example : examples) {
    CAPTURE(example.text);
    CHECK(to_base64(example.bytes) == example.text);
    CHECK(from_base64(example.text) == example.bytes);
  }
}

TEST_CASE("every byte at every place is read as it was written") {
  for (std::size_t size = 1; size <= 3; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      for (int value = 0; value < 256; ++value) {
        Bytes bytes(size, '\x5a');
        bytes[at] = static_cast<char>(value);
        REQUIRE(from_base64(to_base64(bytes)) == bytes);
      }
    }
  }
}

TEST_CASE("another spelling is refused") {
  for (const std::string_view text :
       {"Z",    "Zg",   "Zg=",  "Zg===",  "Zm8",   "Zm9v=", "Zm9v====", "=",    "==",       "====",
        "A===", "Zh==", "Zm9=", "Zm9v\n", "Z\nm9", "Zm 9",  "Zm9-",     "Zm9_", "Zg==Zg==", "=m9v"}) {
    CAPTURE(text);
    CHECK_FALSE(from_base64(text).has_value());
  }
  CHECK_FALSE(from_base64(std::string_view("Zm\0v", 4)).has_value());
  CHECK_FALSE(from_base64("Zm\x80v").has_value());
}
