#include "messages/digest.hpp"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <cstddef>
#include <limits>
#include <utility>

namespace remsh::messages {

namespace {

constexpr std::array<std::pair<std::string_view, Hash>, 5> names{{{"{md5}", Hash::md5},
                                                                  {"{sha256}", Hash::sha256},
                                                                  {"{sha384}", Hash::sha384},
                                                                  {"{sha3_256}", Hash::sha3_256},
                                                                  {"{sha3_384}", Hash::sha3_384}}};

const EVP_MD* algorithm(Hash hash) noexcept {
  switch (hash) {
    case Hash::md5: return EVP_md5();
    case Hash::sha256: return EVP_sha256();
    case Hash::sha384: return EVP_sha384();
    case Hash::sha3_256: return EVP_sha3_256();
    case Hash::sha3_384: return EVP_sha3_384();
  }
  return nullptr;
}

}  // namespace

std::optional<Hash> take_hash_name(BytesView& message) {
  for (const auto& [name, hash] : names) {
    if (!message.starts_with(name)) continue;
    message.remove_prefix(name.size());
    return hash;
  }
  return std::nullopt;
}

std::string_view name_in_front(Hash hash) noexcept {
  for (const auto& [name, known] : names) {
    if (known == hash) return name;
  }
  return {};
}

std::optional<Bytes> hmac(Hash hash, BytesView key, BytesView data) {
  if (key.size() > std::numeric_limits<int>::max()) return std::nullopt;
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
  unsigned size = 0;
  if (HMAC(algorithm(hash), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(data.data()), data.size(), mac.data(), &size) == nullptr) {
    ERR_clear_error();
    return std::nullopt;
  }
  return Bytes(mac.begin(), mac.begin() + static_cast<std::ptrdiff_t>(size));
}

bool are_equal(BytesView a, BytesView b) noexcept {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace remsh::messages
