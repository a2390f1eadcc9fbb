// The labels that a slave claims, on the wire.
#include "auth/key_line.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <string_view>

namespace remsh::auth {

namespace {

using Claims = std::map<std::string, std::string>;

}  // namespace

TEST_CASE("claimed labels are one text, in the order of their names, and the same again when they are read") {
  for (const Claims& claims :
       {Claims{}, Claims{{"os", "linux"}}, Claims{{"os", "linux"}, {"gpu", "a=b"}, {"Z", "\xc3\xa4"}}}) {
    const std::string text = claimed_labels_text(claims);
    CHECK(parse_claimed_labels(text) == claims);
  }
  CHECK(claimed_labels_text({{"os", "linux"}, {"gpu", "a100"}}) == "gpu=a100 os=linux");
}

TEST_CASE("malformed labels are none") {
  using namespace std::string_view_literals;
  for (const std::string_view text :
       {"gpu"sv, "=a"sv, "gpu="sv, " gpu=a"sv, "gpu=a "sv, "gpu=a  os=b"sv, "os=b gpu=a"sv, "gpu=a gpu=a"sv,
        "gpu=a gpu=b"sv, "g u=a"sv, "gpu=a\tb"sv, "gpu=a\nb"sv, "gpu=\xff"sv, "-gpu=a"sv, "gpu=a\0"sv}) {
    CAPTURE(text);
    CHECK_FALSE(parse_claimed_labels(text));
  }
  std::string many;
  for (int i = 100; i < 133; ++i) many += (many.empty() ? "l" : " l") + std::to_string(i) + "=1";
  CHECK_FALSE(parse_claimed_labels(many));
  CHECK(parse_claimed_labels(many.substr(0, many.rfind(' '))));
}

TEST_CASE("a slave cannot claim more than a registration carries") {
  Claims claims;
  for (int i = 0; i < 4; ++i) claims["l" + std::to_string(i)] = std::string(252, 'x');
  CHECK(claimed_labels_text(claims).size() == 1023);
  CHECK(check_claimed_labels(claims));
  claims["l"] = "x";
  CHECK_FALSE(check_claimed_labels(claims));
  CHECK_FALSE(check_claimed_labels({{"os", "a b"}}));
}

}  // namespace remsh::auth
