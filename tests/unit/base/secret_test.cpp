// Tests of Secret.
#include "support/keys.hpp"

#include <doctest/doctest.h>

#include <remsh/base/secret.hpp>

#include <array>
#include <new>
#include <optional>
#include <ostream>
#include <string>
#include <type_traits>
#include <utility>

using namespace remsh;
using remsh::test::counted;
using remsh::test::counted_key;

namespace {

template <class T>
concept Printable = requires(std::ostream& out, const T& value) {
  out << value;
};

}  // namespace

static_assert(!Printable<Secret>);
static_assert(!std::is_convertible_v<Secret, BytesView> && !std::is_convertible_v<Secret, std::string>);
static_assert(!std::is_convertible_v<BytesView, Secret> && !std::is_default_constructible_v<Secret>);

TEST_CASE("a secret has 32 bytes") {
  CHECK(Secret::from_bytes(counted(0))->bytes() == counted(0));
  for (const std::size_t size : {0U, 1U, 16U, 31U, 33U, 64U}) {
    CAPTURE(size);
    CHECK_FALSE(Secret::from_bytes(Bytes(size, 'k')).has_value());
  }
}

TEST_CASE("a secret equals its copies and nothing else") {
  const Secret one = counted_key(0);
  const Secret copy = one;
  CHECK((one == copy));
  for (std::size_t bit = 0; bit < Secret::size * 8; ++bit) {
    CAPTURE(bit);
    Bytes bytes = counted(0);
    bytes[bit / 8] = static_cast<char>(static_cast<unsigned char>(bytes[bit / 8]) ^ (1U << (bit % 8)));
    CHECK((one != *Secret::from_bytes(bytes)));
  }
}

TEST_CASE("a moved-from secret is wiped, and one moved to itself is kept") {
  Secret one = counted_key(1);
  Secret two = std::move(one);
  CHECK(two.bytes() == counted(1));
  CHECK(one.bytes() == Bytes(Secret::size, '\0'));  // NOLINT(bugprone-use-after-move)

  one = std::move(two);
  CHECK(one.bytes() == counted(1));
  CHECK(two.bytes() == Bytes(Secret::size, '\0'));  // NOLINT(bugprone-use-after-move)

  Secret& same = one;
  one = std::move(same);
  CHECK(one.bytes() == counted(1));
}

TEST_CASE("the memory of a secret is wiped when it goes") {
  alignas(Secret) std::array<char, sizeof(Secret)> memory{};
  auto* const made = new (memory.data()) Secret(counted_key(1));
  REQUIRE(BytesView(memory.data(), memory.size()).find(counted(1)) == 0);
  made->~Secret();
  CHECK(BytesView(memory.data(), memory.size()) == Bytes(memory.size(), '\0'));
}

TEST_CASE("base64 goes there and back") {
  CHECK(counted_key(0).to_base64() == "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
  CHECK(Secret::from_bytes(Bytes(32, '\xff'))->to_base64() == "//////////////////////////////////////////8=");
  CHECK(Secret::from_bytes(Bytes(32, '\xfb'))->to_base64() == "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=");
  for (unsigned first = 0; first < 256; ++first) {
    const Secret one = counted_key(static_cast<unsigned char>(first));
    const auto back = Secret::from_base64(one.to_base64());
    REQUIRE(back.has_value());
    CHECK((*back == one));
  }
}

TEST_CASE("base64 that is spelt otherwise is no secret") {
  const std::string good = counted_key(0).to_base64();
  for (const std::string& text :
       {std::string(), good.substr(1), good.substr(0, 43), good + "=", good + "\n", " " + good, good.substr(0, 40),
        "AAEC" + good, good.substr(0, 42) + "==", good.substr(0, 42) + "9=",  // bits behind the last byte
        "-" + good.substr(1), "_" + good.substr(1), "=" + good.substr(1), std::string(1, '\0') + good.substr(1),
        good.substr(0, 20) + " " + good.substr(21), std::string(44, '='), std::string(44, 'A')}) {
    CAPTURE(text);
    CHECK_FALSE(Secret::from_base64(text).has_value());
  }
}
