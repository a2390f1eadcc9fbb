// OpenSSL's callbacks, and the shared internals of TlsContext and TlsEngine. Private to these two.
#pragma once

#include "transport/tls_engine.hpp"
#include "transport/tls_objects.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

namespace remsh {

/// How many messages of TLS itself (new keys, tickets) the other side may send without data; each record of data
/// permits one more.
inline constexpr unsigned max_tls_patience = 32;

struct TlsContext::Impl {
  bool is_server = false;
  bool has_certificate = false;
  Bytes certificate_digest;
  TlsTuning tuning;
  std::string identity;       // (client) the identity of its key
  std::optional<Secret> key;  // (client) its key; (server) the key used for an unknown identity
  FindTlsKey find_key;
  std::string server_name;  // (client) the name to check; sent unless it is a number
  bool name_is_number = false;
  tls::MethodPtr method;
  tls::ContextPtr context;
};

/// The functions that OpenSSL calls. No exception may pass through its frames.
struct TlsEngine::Callbacks {
  static TlsEngine& of(BIO* bio) { return *static_cast<TlsEngine*>(BIO_get_data(bio)); }
  static TlsEngine& of(SSL* ssl) { return *static_cast<TlsEngine*>(SSL_get_app_data(ssl)); }
  static int read(BIO* bio, char* buffer, int size);
  static int write(BIO* bio, const char* buffer, int size);
  static long control(BIO* bio, int command, long number, void* pointer);
  static int created(BIO* bio);
  static tls::MethodPtr method();
  /// Called with each record and each message of TLS.
  static void message(int is_written, int version, int type, const void* bytes, std::size_t size, SSL* ssl,
                      void* argument);
  static SSL_SESSION* session(SSL* ssl, const Secret& key);
  static int offer_key(SSL* ssl, const EVP_MD* hash, const unsigned char** identity, std::size_t* size,
                       SSL_SESSION** session);
  static int find_key(SSL* ssl, const unsigned char* identity, std::size_t size, SSL_SESSION** session);
  /// Makes a context with the settings of both sides.
  static Result<std::unique_ptr<TlsContext::Impl>> context(const TlsTuning& tuning, bool is_server);
};

}  // namespace remsh
