#include "bare_hash.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <cassert>
#include <cstring>
#include <stdexcept>

namespace remsh::bench {

namespace {

void expect_libcrypto(bool works) {
  if (!works) throw std::runtime_error("libcrypto does not do what the benchmark needs");
}

unsigned char* raw(char* bytes) { return reinterpret_cast<unsigned char*>(bytes); }
const unsigned char* raw(const char* bytes) { return reinterpret_cast<const unsigned char*>(bytes); }

}  // namespace

void BareSha256::Free::operator()(evp_md_ctx_st* context) const noexcept { EVP_MD_CTX_free(context); }

BareSha256::BareSha256() : context_(EVP_MD_CTX_new()) {
  expect_libcrypto(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
}

Digest BareSha256::operator()(BytesView bytes) {
  Digest digest;
  expect_libcrypto(EVP_DigestInit_ex(context_.get(), nullptr, nullptr) == 1 &&
                   EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1 &&
                   EVP_DigestFinal_ex(context_.get(), raw(digest.data()), nullptr) == 1);
  return digest;
}

void BareHmac::Free::operator()(evp_mac_ctx_st* context) const noexcept { EVP_MAC_CTX_free(context); }

BareHmac::BareHmac(BytesView key) {
  EVP_MAC* const algorithm = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  expect_libcrypto(algorithm != nullptr);
  context_.reset(EVP_MAC_CTX_new(algorithm));
  EVP_MAC_free(algorithm);  // the context keeps it
  char hash[] = "SHA256";
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string("digest", hash, 0), OSSL_PARAM_construct_end()};
  expect_libcrypto(context_ != nullptr && EVP_MAC_init(context_.get(), raw(key.data()), key.size(), parameters) == 1);
}

Digest BareHmac::operator()(BytesView bytes) {
  Digest digest;
  std::size_t size = 0;
  expect_libcrypto(EVP_MAC_init(context_.get(), nullptr, 0, nullptr) == 1 &&
                   EVP_MAC_update(context_.get(), raw(bytes.data()), bytes.size()) == 1 &&
                   EVP_MAC_final(context_.get(), raw(digest.data()), &size, digest.size()) == 1);
  return digest;
}

HmacBlocks::HmacBlocks(BytesView key) {
  assert(key.size() <= block);
  inner_.fill(0x36);
  outer_.fill(0x5c);
  for (std::size_t i = 0; i < key.size(); ++i) {
    inner_[i] = static_cast<char>(inner_[i] ^ key[i]);
    outer_[i] = static_cast<char>(outer_[i] ^ key[i]);
  }
}

Digest HmacBlocks::mac(BareSha256& sha256, BytesView bytes) const {
  assert(bytes.size() <= block);
  std::array<char, 2 * block> buffer;
  const auto hash_after = [&](const std::array<char, block>& first, BytesView second) {
    std::memcpy(buffer.data(), first.data(), first.size());
    std::memcpy(buffer.data() + first.size(), second.data(), second.size());
    return sha256({buffer.data(), first.size() + second.size()});
  };
  return hash_after(outer_, view(hash_after(inner_, bytes)));
}

void fill_at_random(char* bytes, std::size_t size) {
  expect_libcrypto(RAND_bytes(raw(bytes), static_cast<int>(size)) == 1);
}

}  // namespace remsh::bench
