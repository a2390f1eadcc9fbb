// What TLS with certificates needs: whose name a server has, and whom a client trusts.
#pragma once

#include <string>

namespace remsh {

/// The certificate that a server shows. Each member is the path of a PEM file, or the PEM text itself.
struct TlsIdentity {
  std::string certificate = {};  ///< the server's own, and behind it those between it and the CA
  std::string key = {};          ///< its private key, without a passphrase; empty: it is in `certificate`
};

/// Whom a client takes for its server: who shows a certificate of this name by one of these CAs (or one of these
/// certificates itself), and nobody else.
struct TlsTrust {
  std::string ca = {};           ///< the path of a PEM file, or the PEM text itself; the system's own CAs do not count
  std::string server_name = {};  ///< a host name or an IP address, as the certificate has it
};

}  // namespace remsh
