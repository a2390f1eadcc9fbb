// What is shown of texts with secrets in them.
#include "base/secret_mask.hpp"

#include <doctest/doctest.h>

using namespace remsh;

TEST_CASE("a secret is replaced wherever it occurs") {
  const SecretMask mask({"hunter2"});
  CHECK(mask.applied_to("--password=hunter2") == "--password=***");
  CHECK(mask.applied_to("hunter2:hunter2") == "***:***");
  CHECK(mask.applied_to("hunter") == "hunter");
  CHECK(mask.applied_to("") == "");
  CHECK(mask.is_in("xhunter2x"));
  CHECK_FALSE(mask.is_in("Hunter2"));
}

TEST_CASE("secrets that overlap or touch are replaced as one, so that no part is left") {
  CHECK(SecretMask({"abc", "bcd"}).applied_to("xabcdx") == "x***x");
  CHECK(SecretMask({"ab", "abcd"}).applied_to("abcd ab") == "*** ***");
  CHECK(SecretMask({"aa"}).applied_to("aaa") == "***");
}

TEST_CASE("a secret is found in the escaped form that messages have") {
  const SecretMask mask({"a\n\\"});
  CHECK(mask.applied_to("program 'a\\x0A\\\\'") == "program '***'");
  CHECK(mask.applied_to("a\n\\") == "***");
}

TEST_CASE("an empty secret hides nothing") {
  CHECK(SecretMask({""}).applied_to("text") == "text");
  CHECK(SecretMask({}).applied_to("text") == "text");
}
