// Tests of what is derived from a key: the numbers are those of the example in docs/protocol.md section 4.
#include "auth/derive.hpp"

#include "support/hex.hpp"

#include <doctest/doctest.h>

using namespace remsh;
using namespace remsh::auth;
using remsh::test::from_hex;
using remsh::test::to_hex;

namespace {

const Secret root_key =
    *Secret::from_bytes(from_hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"));

}  // namespace

TEST_CASE("each use has a key of its own") {
  const auto derived = [](const char* purpose) { return to_hex(derive(root_key, purpose).bytes()); };
  CHECK(derived("tls") == "e0e4c95840d6dd30d52319048039758aa2a6cb59f46dec449e78eec0fb0d113b");
  CHECK(derived("slave") == "fec3fc182926c78d71c4c9d1e3860f4b603b57c5a894b09aa62ef42fc803486f");
  CHECK(derived("master") == "423c358100c5ec8bf22f50f02ca07a665b94e23ac341aacffca685d2b2f5957d");
  CHECK(derived("resume") == "8ef1aa04ac49e7e31ca6e614553e6a03becb6543b7d4abb518ac2cd031154815");
  CHECK(derived("enrol") == "a9aa266bf97d2eb11e889409d89ba2d16eb4a154f3d1a8f817293faf471d8795");
}

TEST_CASE("the key id is eight hex digits of its own derivation") { CHECK(kid(root_key) == "4962dc04"); }
