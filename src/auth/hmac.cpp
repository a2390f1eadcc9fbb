#include "auth/hmac.hpp"

#include "base/wipe.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <limits>
#include <stdexcept>

namespace remsh::auth {
namespace {

void expect(bool works) {
  if (!works) throw std::runtime_error("libcrypto cannot compute SHA-256");
}

template <class Pointer>
EVP_MD_CTX* context_of(const Pointer& pointer) {
  return static_cast<EVP_MD_CTX*>(pointer.get());
}

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  expect(context_ != nullptr && EVP_DigestInit_ex(context_of(context_), EVP_sha256(), nullptr) == 1);
}

Sha256::Sha256(const Sha256& other) : context_(EVP_MD_CTX_new()) {
  expect(context_ != nullptr && EVP_MD_CTX_copy_ex(context_of(context_), context_of(other.context_)) == 1);
}

void Sha256::Free::operator()(void* context) const noexcept { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context)); }

void Sha256::update(BytesView bytes) {
  expect(EVP_DigestUpdate(context_of(context_), bytes.data(), bytes.size()) == 1);
}

Bytes Sha256::digest() const {
  const Sha256 copy = *this;
  std::array<unsigned char, digest_size> digest{};
  expect(EVP_DigestFinal_ex(context_of(copy.context_), digest.data(), nullptr) == 1);
  return {digest.begin(), digest.end()};
}

Secret hmac(BytesView key, BytesView data) {
  expect(key.size() <= std::numeric_limits<int>::max());
  std::array<char, digest_size> mac{};
  const auto* const made =
      HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(data.data()),
           data.size(), reinterpret_cast<unsigned char*>(mac.data()), nullptr);
  expect(made != nullptr);
  Secret secret = *Secret::from_bytes({mac.data(), mac.size()});
  wipe(mac);
  return secret;
}

}  // namespace remsh::auth
