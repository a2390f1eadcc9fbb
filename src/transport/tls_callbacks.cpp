#include "transport/tls_callbacks.hpp"

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <utility>

namespace remsh {

using namespace tls;

namespace {

constexpr const char* suites = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";

}  // namespace

int TlsEngine::Callbacks::read(BIO* bio, char* buffer, int size) {
  TlsEngine& engine = of(bio);
  BIO_clear_retry_flags(bio);
  if (engine.patience_ == 0) return -1;
  if (engine.in_.empty()) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const std::size_t count = std::min(engine.in_.size(), static_cast<std::size_t>(std::max(size, 0)));
  std::memcpy(buffer, engine.in_.data(), count);
  engine.in_.remove_prefix(count);
  return static_cast<int>(count);
}

int TlsEngine::Callbacks::write(BIO* bio, const char* buffer, int size) {
  BIO_clear_retry_flags(bio);
  try {
    of(bio).out_.append(buffer, static_cast<std::size_t>(size));
  } catch (const std::bad_alloc&) {
    return -1;
  }
  return size;
}

long TlsEngine::Callbacks::control(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

int TlsEngine::Callbacks::created(BIO* bio) {
  BIO_set_init(bio, 1);
  return 1;
}

tls::MethodPtr TlsEngine::Callbacks::method() {
  static const int type = BIO_get_new_index() | BIO_TYPE_SOURCE_SINK;
  MethodPtr result(BIO_meth_new(type, "remsh"));
  if (!result) throw std::bad_alloc();
  BIO_meth_set_create(result.get(), created);
  BIO_meth_set_read(result.get(), read);
  BIO_meth_set_write(result.get(), write);
  BIO_meth_set_ctrl(result.get(), control);
  return result;
}

void TlsEngine::Callbacks::message(int is_written, int /*version*/, int type, const void* bytes, std::size_t size,
                                   SSL* /*ssl*/, void* argument) {
  TlsEngine& engine = *static_cast<TlsEngine*>(argument);
  if (size == 0 || !engine.open_) return;
  const int first = *static_cast<const unsigned char*>(bytes);
  if (type == SSL3_RT_INNER_CONTENT_TYPE && first == SSL3_RT_APPLICATION_DATA) {
    if (is_written != 0) {
      ++engine.encrypted_;
    } else {
      ++engine.decrypted_;
      if (engine.patience_ > 0 && engine.patience_ < max_tls_patience) ++engine.patience_;
    }
  } else if (type == SSL3_RT_HANDSHAKE) {
    if (is_written == 0 && engine.patience_ > 0) --engine.patience_;
    if (first == SSL3_MT_KEY_UPDATE) (is_written != 0 ? engine.encrypted_ : engine.decrypted_) = 0;
  }
}

SSL_SESSION* TlsEngine::Callbacks::session(SSL* ssl, const Secret& key) {
  constexpr std::array<unsigned char, 2> aes_128_gcm_sha256{0x13, 0x01};  // selects its hash, SHA-256
  const SSL_CIPHER* const cipher = SSL_CIPHER_find(ssl, aes_128_gcm_sha256.data());
  const auto* const bytes = reinterpret_cast<const unsigned char*>(key.bytes().data());
  SessionPtr made(SSL_SESSION_new());
  if (cipher == nullptr || !made || SSL_SESSION_set1_master_key(made.get(), bytes, key.bytes().size()) != 1 ||
      SSL_SESSION_set_cipher(made.get(), cipher) != 1 ||
      SSL_SESSION_set_protocol_version(made.get(), TLS1_3_VERSION) != 1) {
    return nullptr;
  }
  return made.release();
}

int TlsEngine::Callbacks::offer_key(SSL* ssl, const EVP_MD* hash, const unsigned char** identity, std::size_t* size,
                                    SSL_SESSION** session) {
  const TlsContext::Impl& context = *of(ssl).context_->impl_;
  *session = nullptr;
  *identity = nullptr;
  *size = 0;
  if (hash != nullptr && EVP_MD_type(hash) != NID_sha256) return 1;
  *session = Callbacks::session(ssl, *context.key);
  *identity = reinterpret_cast<const unsigned char*>(context.identity.data());
  *size = context.identity.size();
  return *session != nullptr ? 1 : 0;
}

int TlsEngine::Callbacks::find_key(SSL* ssl, const unsigned char* identity, std::size_t size, SSL_SESSION** session) {
  TlsEngine& engine = of(ssl);
  const TlsContext::Impl& context = *engine.context_->impl_;
  *session = nullptr;
  try {
    const std::string_view name(reinterpret_cast<const char*>(identity), size);
    engine.claimed_ = name.substr(0, TlsContext::max_identity);
    TlsKey found = size <= TlsContext::max_identity ? context.find_key(name) : TlsKey(std::nullopt);
    engine.is_unknown_ = !found.key;
    engine.why_unknown_ = std::move(found.reason);
    *session = Callbacks::session(ssl, found.key ? *found.key : *context.key);
  } catch (...) {
    return 0;
  }
  return *session != nullptr ? 1 : 0;
}

Result<std::unique_ptr<TlsContext::Impl>> TlsEngine::Callbacks::context(const TlsTuning& tuning, bool is_server) {
  auto made = std::make_unique<TlsContext::Impl>();
  made->is_server = is_server;
  made->tuning = tuning;
  made->method = method();
  made->context.reset(SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method()));
  SSL_CTX* const context = made->context.get();
  if (context == nullptr || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 || SSL_CTX_set_ciphersuites(context, suites) != 1) {
    return Failure{Errc::local_os_error, "TLS: OpenSSL here has no TLS 1.3: " + take_error(), 0};
  }
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_max_early_data(context, 0);
  SSL_CTX_set_recv_max_early_data(context, 0);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_msg_callback(context, message);
  return made;
}

}  // namespace remsh
