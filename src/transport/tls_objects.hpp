// Owning pointers to OpenSSL's objects, and OpenSSL's error messages.
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

/// The failure for a wrong option of the host program.
inline Failure bad_option(const std::string& what) { return {Errc::invalid_argument, "TLS: " + what, 0}; }

/// The message of the oldest error in this thread's queue; empties the queue.
inline std::string take_error() {
  const unsigned long error = ERR_peek_error();
  const char* const text = error != 0 ? ERR_reason_error_string(error) : nullptr;
  ERR_clear_error();
  return text != nullptr ? text : "unknown error";
}

}  // namespace remsh::tls
