// What OpenSSL calls, and what TlsContext and TlsEngine keep of it. Private to the two.
#pragma once

#include "transport/tls_engine.hpp"
#include "transport/tls_objects.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

namespace remsh {

/// How many messages of TLS itself (new keys, tickets) the other side may send ahead; each record of data allows for
/// one more.
inline constexpr unsigned max_tls_patience = 32;

struct TlsContext::Impl {
  bool is_server = false;
  bool has_certificate = false;
  Bytes certificate_digest;
  TlsTuning tuning;
  std::string identity;       // (client) of its key
  std::optional<Secret> key;  // (client) or (server) the key in place of that of an unknown identity
  FindTlsKey find_key;
  std::string server_name;  // (client) to check; to be sent if it is no number
  bool name_is_number = false;
  tls::MethodPtr method;
  tls::ContextPtr context;
};

/// What OpenSSL calls. Nothing may be thrown through its frames.
struct TlsEngine::Callbacks {
  static TlsEngine& of(BIO* bio) { return *static_cast<TlsEngine*>(BIO_get_data(bio)); }
  static TlsEngine& of(SSL* ssl) { return *static_cast<TlsEngine*>(SSL_get_app_data(ssl)); }
  static int read(BIO* bio, char* buffer, int size);
  static int write(BIO* bio, const char* buffer, int size);
  static long control(BIO* bio, int command, long number, void* pointer);
  static int created(BIO* bio);
  static tls::MethodPtr method();
  /// Sees each record and each message of TLS.
  static void message(int is_written, int version, int type, const void* bytes, std::size_t size, SSL* ssl,
                      void* argument);
  static SSL_SESSION* session(SSL* ssl, const Secret& key);
  static int offer_key(SSL* ssl, const EVP_MD* hash, const unsigned char** identity, std::size_t* size,
                       SSL_SESSION** session);
  static int find_key(SSL* ssl, const unsigned char* identity, std::size_t size, SSL_SESSION** session);
  /// A context with all that both sides have.
  static Result<std::unique_ptr<TlsContext::Impl>> context(const TlsTuning& tuning, bool is_server);
};

}  // namespace remsh
