// The slots and resources that a slave announces, on the wire.
#include "auth/resources.hpp"

#include "support/has.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace remsh::auth {
using remsh::test::has;

TEST_CASE("resources are one text, in the order of their names, with the slots if there is not one") {
  CHECK(resources_text(1, {}).empty());
  CHECK(parse_resources("") == Resources{});
  CHECK(resources_text(4, {}) == "slots=4");
  CHECK(resources_text(4, {{"tape", 1'000'000'000}, {"gpu", 2}}) == "gpu=2 slots=4 tape=1000000000");
  CHECK(parse_resources("gpu=2 slots=4 tape=1000000000") ==
        Resources{{"gpu", 2}, {"slots", 4}, {"tape", 1'000'000'000}});
}

TEST_CASE("malformed resources are none") {
  using namespace std::string_view_literals;
  for (const std::string_view text : {"gpu"sv,
                                      "=1"sv,
                                      "gpu="sv,
                                      " gpu=1"sv,
                                      "gpu=1 "sv,
                                      "gpu=1  tape=2"sv,
                                      "tape=1 gpu=1"sv,
                                      "gpu=1 gpu=1"sv,
                                      "gpu=0"sv,
                                      "gpu=01"sv,
                                      "gpu=-1"sv,
                                      "gpu=1.5"sv,
                                      "gpu=1000000001"sv,
                                      "gpu=99999999999999999999"sv,
                                      "gpu=x"sv,
                                      "g u=1"sv,
                                      "-gpu=1"sv,
                                      "gpu=1\n"sv,
                                      "slots=0"sv,
                                      "gpu=1\0"sv}) {
    CAPTURE(text);
    CHECK_FALSE(parse_resources(text));
  }
  std::string many;
  for (int i = 100; i < 133; ++i) many += (many.empty() ? "r" : " r") + std::to_string(i) + "=1";
  CHECK_FALSE(parse_resources(many + " slots=2"));
  CHECK_FALSE(parse_resources(std::string(254, 'x') + "=1"));
  CHECK_FALSE(parse_resources(std::string(63, 'a') + "=1 " + std::string(63, 'b') + "=1 " + std::string(63, 'c') +
                              "=1 " + std::string(64, 'd') + "=1"));
}

TEST_CASE("a slave may announce what fits into a registration, and a refusal says what is wrong") {
  CHECK(check_resources(1, {}));
  CHECK(check_resources(max_resource, {{"gpu", 1}, {"tape", max_resource}}));
  const auto why = [](std::uint64_t slots, const Resources& resources) {
    const auto checked = check_resources(slots, resources);
    return checked ? std::string() : checked.failure().message;
  };
  CHECK(has(why(0, {}), "slots"));
  CHECK(has(why(max_resource + 1, {}), "slots"));
  CHECK(has(why(1, {{"gpu", 0}}), "'gpu'"));
  CHECK(has(why(1, {{"a b", 1}}), "'a b'"));
  CHECK(has(why(1, {{"slots", 1}}), "an option of their own"));
  Resources long_names;
  for (int i = 0; i < 4; ++i) long_names.emplace(std::string(63, 'x') + std::to_string(i), 1);
  CHECK(has(why(1, long_names), "256 bytes"));
  Resources many;
  for (int i = 0; i < 33; ++i) many.emplace("r" + std::to_string(i), 1);
  CHECK(has(why(1, many), "at most 32"));
}

}  // namespace remsh::auth
