// Tests of SHA-256 and HMAC-SHA256, against their published examples.
#include "auth/hmac.hpp"

#include "support/hex.hpp"

#include <doctest/doctest.h>

#include <utility>

using namespace remsh;
using namespace remsh::auth;
using remsh::test::from_hex;
using remsh::test::to_hex;

TEST_CASE("hashes are those of FIPS 180-4") {
  CHECK(to_hex(Sha256().digest()) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 hash;
  hash.update("abc");
  CHECK(to_hex(hash.digest()) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 two_blocks;
  two_blocks.update("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq");
  CHECK(to_hex(two_blocks.digest()) == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  Sha256 million;
  for (int i = 0; i < 1000; ++i) million.update(Bytes(1000, 'a'));
  CHECK(to_hex(million.digest()) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("a hash can be asked for, and go on") {
  Sha256 hash;
  hash.update("a");
  const Bytes before = hash.digest();
  CHECK(hash.digest() == before);
  Sha256 moved = std::move(hash);
  moved.update("bc");
  CHECK(to_hex(moved.digest()) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("MACs are those of RFC 4231") {
  const auto mac = [](BytesView key, BytesView data) { return to_hex(hmac(key, data).bytes()); };
  CHECK(mac(Bytes(20, '\x0b'), "Hi There") == "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  CHECK(mac("Jefe", "what do ya want for nothing?") ==
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  CHECK(mac(Bytes(20, '\xaa'), Bytes(50, '\xdd')) ==
        "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
  CHECK(mac(from_hex("0102030405060708090a0b0c0d0e0f10111213141516171819"), Bytes(50, '\xcd')) ==
        "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
  CHECK(mac(Bytes(20, '\x0c'), "Test With Truncation").substr(0, 32) == "a3b6167473100ee06e0c796c2955552b");
  CHECK(mac(Bytes(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First") ==
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  CHECK(mac(Bytes(131, '\xaa'),
            "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be "
            "hashed before being used by the HMAC algorithm.") ==
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
}

TEST_CASE("an empty key and empty data have a MAC") {
  CHECK(to_hex(hmac("", "").bytes()) == "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}
