// For tests of TLS: keys, certificates made on the spot, and two transports with TLS between them.
#pragma once

#include "support/keys.hpp"
#include "transport/tls_engine.hpp"
#include "transport/tls_transport.hpp"

#include <remsh/base/secret.hpp>
#include <remsh/transport/tls.hpp>
#include <remsh/transport/transport.hpp>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace remsh::test {

/// A server's keys: only this one.
inline FindTlsKey one_key(std::string identity, const Secret& key) {
  return [identity = std::move(identity), key](std::string_view wanted) {
    return wanted == identity ? std::optional(key) : std::nullopt;
  };
}

/// A certificate and its key, both PEM.
struct Certificate {
  std::string certificate;
  std::string key;
};

/// Makes a certificate for an alternative name in OpenSSL's notation ("DNS:localhost", "IP:127.0.0.1"; empty: a CA),
/// signed by `issuer`, or by itself.
inline Certificate make_certificate(const std::string& name, const Certificate* issuer = nullptr,
                                    long valid_for = 3600) {
  using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
  using X = std::unique_ptr<X509, decltype(&X509_free)>;
  using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
  const auto check = [](bool good) {
    if (!good) throw std::runtime_error("make_certificate");
  };
  EVP_PKEY* made = nullptr;
  std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> generator(EVP_PKEY_CTX_new_id(EVP_PKEY_ED25519, nullptr),
                                                                        &EVP_PKEY_CTX_free);
  check(generator && EVP_PKEY_keygen_init(generator.get()) == 1 && EVP_PKEY_keygen(generator.get(), &made) == 1);
  const Key key(made, &EVP_PKEY_free);
  const X certificate(X509_new(), &X509_free);
  X509* const x = certificate.get();
  static long serial = 1;
  ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
  X509_set_version(x, 2);
  X509_gmtime_adj(X509_getm_notBefore(x), -7200);
  X509_gmtime_adj(X509_getm_notAfter(x), valid_for);
  X509_set_pubkey(x, key.get());
  const std::string common = name.empty() ? "a CA" : name;
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(common.c_str()), -1, -1, 0);
  Key signer(nullptr, &EVP_PKEY_free);
  X signed_by(nullptr, &X509_free);
  if (issuer != nullptr) {
    const Bio key_bio(BIO_new_mem_buf(issuer->key.data(), -1), &BIO_free);
    const Bio bio(BIO_new_mem_buf(issuer->certificate.data(), -1), &BIO_free);
    signer.reset(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr));
    signed_by.reset(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    check(signer && signed_by);
  }
  X509_set_issuer_name(x, X509_get_subject_name(issuer != nullptr ? signed_by.get() : x));
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer != nullptr ? signed_by.get() : x, x, nullptr, nullptr, 0);
  X509_EXTENSION* const extension =
      X509V3_EXT_conf_nid(nullptr, &context, name.empty() ? NID_basic_constraints : NID_subject_alt_name,
                          name.empty() ? "critical,CA:TRUE" : name.c_str());
  check(extension != nullptr && X509_add_ext(x, extension, -1) == 1);
  X509_EXTENSION_free(extension);
  check(X509_sign(x, issuer != nullptr ? signer.get() : key.get(), nullptr) > 0);
  const auto text = [&](const std::function<int(BIO*)>& write) {
    const Bio bio(BIO_new(BIO_s_mem()), &BIO_free);
    check(write(bio.get()) == 1);
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return std::string(data, static_cast<std::size_t>(size));
  };
  return {text([&](BIO* bio) { return PEM_write_bio_X509(bio, x); }), text([&](BIO* bio) {
            return PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
          })};
}

/// Steps both sides until both are done; throws if one fails.
inline void shake_hands(TlsTransport& a, TlsTransport& b) {
  for (bool done = false; !done;) {
    done = true;
    for (TlsTransport* end : {&a, &b}) {
      const auto step = end->step();
      if (!step) throw std::runtime_error("shake_hands: " + step.failure().message);
      if (*step != TlsTransport::Step::done) {
        done = false;
        end->wait(*step == TlsTransport::Step::want_read ? Ready::read : Ready::write, std::chrono::milliseconds(1));
      }
    }
  }
}

/// Two ends with the same key, the client's first.
inline std::pair<std::unique_ptr<TlsTransport>, std::unique_ptr<TlsTransport>> tls_over(std::unique_ptr<Transport> a,
                                                                                        std::unique_ptr<Transport> b,
                                                                                        const TlsTuning& tuning = {}) {
  auto client = std::make_unique<TlsTransport>(std::move(a), *TlsContext::client("w1:0a1b2c3d", key_of('k'), tuning));
  auto server = std::make_unique<TlsTransport>(
      std::move(b), *TlsContext::server(one_key("w1:0a1b2c3d", key_of('k')), nullptr, tuning));
  shake_hands(*client, *server);
  return {std::move(client), std::move(server)};
}

/// The same, as plain `Transport`s.
inline std::pair<std::unique_ptr<Transport>, std::unique_ptr<Transport>> with_tls(
    std::pair<std::unique_ptr<Transport>, std::unique_ptr<Transport>> pair, const TlsTuning& tuning = {}) {
  return tls_over(std::move(pair.first), std::move(pair.second), tuning);
}

}  // namespace remsh::test
