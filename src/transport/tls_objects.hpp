// OpenSSL's objects, freed when they go, and its errors in words.
#pragma once

#include "base/result.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

namespace remsh::tls {

template <auto function>
struct Freer {
  template <class T>
  void operator()(T* pointer) const noexcept {
    function(pointer);
  }
};
using BioPtr = std::unique_ptr<BIO, Freer<BIO_free>>;
using ContextPtr = std::unique_ptr<SSL_CTX, Freer<SSL_CTX_free>>;
using CertificatePtr = std::unique_ptr<X509, Freer<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using MethodPtr = std::unique_ptr<BIO_METHOD, Freer<BIO_meth_free>>;
using SessionPtr = std::unique_ptr<SSL_SESSION, Freer<SSL_SESSION_free>>;

/// What our own user has set up wrongly.
inline Failure bad_option(const std::string& what) { return {Errc::invalid_argument, "TLS: " + what, 0}; }

/// The oldest error of this thread's queue in words; empties the queue.
inline std::string take_error() {
  const unsigned long error = ERR_peek_error();
  const char* const text = error != 0 ? ERR_reason_error_string(error) : nullptr;
  ERR_clear_error();
  return text != nullptr ? text : "unknown error";
}

}  // namespace remsh::tls
