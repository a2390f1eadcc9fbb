#include "base/digest.hpp"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <cstddef>
#include <limits>

namespace remsh {

namespace {

using Sum = std::array<unsigned char, EVP_MAX_MD_SIZE>;

const EVP_MD* algorithm(Hash hash) noexcept {
  switch (hash) {
    case Hash::md5: return EVP_md5();
    case Hash::sha1: return EVP_sha1();
    case Hash::sha256: return EVP_sha256();
    case Hash::sha384: return EVP_sha384();
    case Hash::sha3_256: return EVP_sha3_256();
    case Hash::sha3_384: return EVP_sha3_384();
  }
  return nullptr;
}

std::optional<Bytes> result(bool is_done, const Sum& sum, unsigned size) {
  if (is_done) return Bytes(sum.begin(), sum.begin() + static_cast<std::ptrdiff_t>(size));
  ERR_clear_error();
  return std::nullopt;
}

}  // namespace

std::optional<Bytes> digest(Hash hash, BytesView data) {
  Sum sum{};
  unsigned size = 0;
  const bool is_done = EVP_Digest(data.data(), data.size(), sum.data(), &size, algorithm(hash), nullptr) == 1;
  return result(is_done, sum, size);
}

std::optional<Bytes> hmac(Hash hash, BytesView key, BytesView data) {
  if (key.size() > std::numeric_limits<int>::max()) return std::nullopt;
  Sum sum{};
  unsigned size = 0;
  const bool is_done =
      HMAC(algorithm(hash), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(data.data()), data.size(), sum.data(), &size) != nullptr;
  return result(is_done, sum, size);
}

bool are_equal(BytesView a, BytesView b) noexcept {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace remsh
