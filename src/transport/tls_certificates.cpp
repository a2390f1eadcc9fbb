#include "transport/tls_certificates.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "os/file.hpp"
#include "transport/tls_objects.hpp"

#include <fcntl.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <array>
#include <cstddef>
#include <new>
#include <span>
#include <utility>

namespace remsh::tls {
namespace {

/// Text that is wiped when destroyed, because it may contain a private key.
struct PemText {
  PemText() = default;
  PemText(PemText&& other) noexcept : text(std::move(other.text)) {}
  PemText& operator=(PemText&&) = delete;
  ~PemText() { OPENSSL_cleanse(text.data(), text.size()); }
  Bytes text;
};

/// The PEM text of a member of TlsIdentity or TlsTrust: the member itself, or the content of its file.
Result<PemText> pem(const std::string& where) {
  constexpr std::size_t max_size = 1024 * 1024;
  PemText result;
  if (is_pem_text(where)) {
    result.text = where;
    return result;
  }
  auto file = open_file(AT_FDCWD, where);
  if (!file) {
    return Failure{Errc::local_os_error, formatted("TLS: file {}: {}", in_quotes(where), file.failure().message),
                   file.failure().os};
  }
  if (file->size > max_size) {
    return bad_option(formatted("file {} is too large to be a certificate or key", in_quotes(where)));
  }
  result.text.resize(static_cast<std::size_t>(file->size));
  std::size_t size = 0;
  while (size < result.text.size()) {
    const auto count = read_file(file->fd.get(), std::span(result.text).subspan(size));
    if (!count) {
      return Failure{Errc::local_os_error, formatted("TLS: file {}: {}", in_quotes(where), count.failure().message),
                     count.failure().os};
    }
    if (*count == 0) break;
    size += *count;
  }
  result.text.resize(size);
  return result;
}

/// Names the source of the text, for messages.
std::string name_of_source(const std::string& where) {
  return is_pem_text(where) ? "the text given" : "file " + in_quotes(where);
}

BioPtr reader_of(const PemText& text) {
  return BioPtr(BIO_new_mem_buf(text.text.data(), static_cast<int>(text.text.size())));
}

/// Refuses to ask for a passphrase.
int no_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*user*/) { return -1; }

CertificatePtr next_certificate(BIO* bio) {
  return CertificatePtr(PEM_read_bio_X509(bio, nullptr, no_passphrase, nullptr));
}

/// Appends the digest that identifies a certificate.
void add_digest(Bytes& to, const X509* certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (X509_digest(certificate, EVP_sha256(), digest.data(), &size) != 1) throw std::bad_alloc();
  to.append(reinterpret_cast<const char*>(digest.data()), size);
}

}  // namespace

bool is_pem_text(const std::string& where) noexcept { return where.find("-----BEGIN") != std::string::npos; }

Result<Bytes> use_identity(SSL_CTX* context, const TlsIdentity& identity) {
  auto chain = pem(identity.certificate);
  if (!chain) return std::move(chain).failure();
  const BioPtr bio = reader_of(*chain);
  const CertificatePtr own = next_certificate(bio.get());
  if (!own)
    return bad_option(formatted("no certificate in {}: {}", name_of_source(identity.certificate), take_error()));
  if (SSL_CTX_use_certificate(context, own.get()) != 1) {
    return bad_option(
        formatted("the certificate in {} cannot be used: {}", name_of_source(identity.certificate), take_error()));
  }
  Bytes digests;
  add_digest(digests, own.get());
  while (const CertificatePtr issuer = next_certificate(bio.get())) {
    SSL_CTX_add1_chain_cert(context, issuer.get());
    add_digest(digests, issuer.get());
  }
  ERR_clear_error();  // clears the error for the end of the text
  const std::string& key_at = identity.key.empty() ? identity.certificate : identity.key;
  auto key_text = pem(key_at);
  if (!key_text) return std::move(key_text).failure();
  const BioPtr key_bio = reader_of(*key_text);
  const KeyPtr key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, no_passphrase, nullptr));
  if (!key)
    return bad_option(formatted("no private key without a passphrase in {}: {}", name_of_source(key_at), take_error()));
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return bad_option(formatted("the private key in {} is not that of the certificate in {}: {}",
                                name_of_source(key_at), name_of_source(identity.certificate), take_error()));
  }
  return digests;
}

Result<bool> use_trust(SSL_CTX* context, const TlsTrust& trust) {
  if (trust.ca.empty()) return bad_option("no CA is given to trust");
  if (trust.server_name.empty() || trust.server_name.find('\0') != std::string::npos) {
    return bad_option("no name is given that the server's certificate must have");
  }
  auto text = pem(trust.ca);
  if (!text) return std::move(text).failure();
  const BioPtr bio = reader_of(*text);
  bool any = false;
  while (const CertificatePtr certificate = next_certificate(bio.get())) {
    any = X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate.get()) == 1 || any;
  }
  const std::string error = take_error();
  if (!any) return bad_option(formatted("no certificate in {}: {}", name_of_source(trust.ca), error));
  X509_VERIFY_PARAM* const wanted = SSL_CTX_get0_param(context);
  X509_VERIFY_PARAM_set_flags(wanted, X509_V_FLAG_PARTIAL_CHAIN);  // trust intermediate CAs and the certificate itself
  X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  const bool is_number = X509_VERIFY_PARAM_set1_ip_asc(wanted, trust.server_name.c_str()) == 1;
  ERR_clear_error();
  if (!is_number && X509_VERIFY_PARAM_set1_host(wanted, trust.server_name.c_str(), 0) != 1) {
    return bad_option("the server's name cannot be used: " + take_error());
  }
  return is_number;
}

}  // namespace remsh::tls
