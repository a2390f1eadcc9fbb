// Options of TLS with certificates: the server's identity, and whom a client trusts.
#pragma once

#include <string>

namespace remsh {

/// The certificate that a server shows. Each member is the path of a PEM file, or the PEM text itself.
struct TlsIdentity {
  std::string certificate = {};  ///< the server's own, followed by the intermediate ones up to the CA
  std::string key = {};          ///< its private key, without a passphrase; empty: it is in `certificate`
};

/// Which servers a client trusts: those with a certificate for this name, issued by one of these CAs or itself listed
/// here.
struct TlsTrust {
  std::string ca = {};           ///< the path of a PEM file, or the PEM text itself; the system's CAs are not used
  std::string server_name = {};  ///< a host name or an IP address, as in the certificate
};

}  // namespace remsh
