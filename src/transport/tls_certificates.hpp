// Loads PEM into a TLS context: the certificate that it shows, or the CAs that it trusts.
#pragma once

#include "base/result.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/transport/tls.hpp>

#include <string>

struct ssl_ctx_st;

namespace remsh::tls {

/// True if a member of TlsIdentity or TlsTrust is the PEM text itself, not a path.
bool is_pem_text(const std::string& where) noexcept;

/// Returns the digests of the certificates.
Result<Bytes> use_identity(ssl_ctx_st* context, const TlsIdentity& identity);

/// Returns true if the server's name is a number.
Result<bool> use_trust(ssl_ctx_st* context, const TlsTrust& trust);

}  // namespace remsh::tls
