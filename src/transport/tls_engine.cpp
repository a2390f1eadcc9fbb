// TLS 1.3 over memory, by OpenSSL.
#include "transport/tls_engine.hpp"

#include "base/text.hpp"
#include "os/random.hpp"
#include "transport/tls_certificates.hpp"
#include "transport/tls_objects.hpp"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <climits>
#include <cstring>
#include <new>
#include <utility>

namespace remsh {

using namespace tls;

namespace {

constexpr const char* suites = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";
constexpr std::string_view exporter_label = "EXPORTER-remsh-2";
constexpr std::size_t record_overhead = 22;  // header, type and tag

/// How many messages of TLS itself (new keys, tickets) the other side may send ahead; each record of data allows for
/// one more.
constexpr unsigned max_patience = 32;

}  // namespace

struct TlsContext::Impl {
  bool is_server = false;
  bool has_certificate = false;
  Bytes certificate_digest;
  TlsTuning tuning;
  std::string identity;       // (client) of its key
  std::optional<Secret> key;  // (client) or (server) what stands in for the key of an unknown identity
  FindTlsKey find_key;
  std::string server_name;  // (client) to check; to be sent if it is no number
  bool name_is_number = false;
  MethodPtr method;
  ContextPtr context;
};

/// What OpenSSL calls. Nothing may be thrown through its frames.
struct TlsEngine::Callbacks {
  static TlsEngine& of(BIO* bio) { return *static_cast<TlsEngine*>(BIO_get_data(bio)); }
  static TlsEngine& of(SSL* ssl) { return *static_cast<TlsEngine*>(SSL_get_app_data(ssl)); }

  static int read(BIO* bio, char* buffer, int size) {
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

  static int write(BIO* bio, const char* buffer, int size) {
    BIO_clear_retry_flags(bio);
    try {
      of(bio).out_.append(buffer, static_cast<std::size_t>(size));
    } catch (const std::bad_alloc&) {
      return -1;
    }
    return size;
  }

  static long control(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
  }

  static int created(BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
  }

  static MethodPtr method() {
    static const int type = BIO_get_new_index() | BIO_TYPE_SOURCE_SINK;
    MethodPtr result(BIO_meth_new(type, "remsh"));
    if (!result) throw std::bad_alloc();
    BIO_meth_set_create(result.get(), created);
    BIO_meth_set_read(result.get(), read);
    BIO_meth_set_write(result.get(), write);
    BIO_meth_set_ctrl(result.get(), control);
    return result;
  }

  /// Sees each record and each message of TLS.
  static void message(int is_written, int /*version*/, int type, const void* bytes, std::size_t size, SSL* /*ssl*/,
                      void* argument) {
    TlsEngine& engine = *static_cast<TlsEngine*>(argument);
    if (size == 0 || !engine.open_) return;
    const int first = *static_cast<const unsigned char*>(bytes);
    if (type == SSL3_RT_INNER_CONTENT_TYPE && first == SSL3_RT_APPLICATION_DATA) {
      if (is_written != 0) {
        ++engine.encrypted_;
      } else {
        ++engine.decrypted_;
        if (engine.patience_ > 0 && engine.patience_ < max_patience) ++engine.patience_;
      }
    } else if (type == SSL3_RT_HANDSHAKE) {
      if (is_written == 0 && engine.patience_ > 0) --engine.patience_;
      if (first == SSL3_MT_KEY_UPDATE) (is_written != 0 ? engine.encrypted_ : engine.decrypted_) = 0;
    }
  }

  static SSL_SESSION* session(SSL* ssl, const Secret& key) {
    constexpr std::array<unsigned char, 2> aes_128_gcm_sha256{0x13, 0x01};  // stands for its hash
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

  static int offer_key(SSL* ssl, const EVP_MD* hash, const unsigned char** identity, std::size_t* size,
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

  static int find_key(SSL* ssl, const unsigned char* identity, std::size_t size, SSL_SESSION** session) {
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

  /// A context with all that both sides have.
  static Result<std::unique_ptr<TlsContext::Impl>> context(const TlsTuning& tuning, bool is_server) {
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
};

// TlsContext.

TlsContext::TlsContext(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsContext::~TlsContext() = default;

bool TlsContext::is_server() const noexcept { return impl_->is_server; }
const Bytes& TlsContext::certificate_digest() const noexcept { return impl_->certificate_digest; }

Result<std::shared_ptr<const TlsContext>> TlsContext::client(std::string identity, const Secret& key,
                                                             const TlsTuning& tuning) {
  if (identity.empty() || identity.size() > max_identity || identity.find('\0') != std::string::npos) {
    return bad_option("the identity of a key is not 1 to 128 characters");
  }
  auto made = TlsEngine::Callbacks::context(tuning, false);
  if (!made) return std::move(made).failure();
  Impl& impl = **made;
  impl.identity = std::move(identity);
  impl.key = key;
  SSL_CTX_set_psk_use_session_callback(impl.context.get(), TlsEngine::Callbacks::offer_key);
  // A certificate in place of the key is verified against nothing: no CA is trusted.
  SSL_CTX_set_verify(impl.context.get(), SSL_VERIFY_PEER, nullptr);
  return std::shared_ptr<const TlsContext>(new TlsContext(std::move(*made)));
}

Result<std::shared_ptr<const TlsContext>> TlsContext::client(const TlsTrust& trust, const TlsTuning& tuning) {
  auto made = TlsEngine::Callbacks::context(tuning, false);
  if (!made) return std::move(made).failure();
  Impl& impl = **made;
  auto is_number = use_trust(impl.context.get(), trust);
  if (!is_number) return std::move(is_number).failure();
  impl.server_name = trust.server_name;
  impl.name_is_number = *is_number;
  SSL_CTX_set_verify(impl.context.get(), SSL_VERIFY_PEER, nullptr);
  return std::shared_ptr<const TlsContext>(new TlsContext(std::move(*made)));
}

Result<std::shared_ptr<const TlsContext>> TlsContext::server(FindTlsKey find_key, const TlsIdentity* identity,
                                                             const TlsTuning& tuning) {
  if (!find_key && identity == nullptr) return bad_option("a server needs keys or a certificate");
  auto made = TlsEngine::Callbacks::context(tuning, true);
  if (!made) return std::move(made).failure();
  Impl& impl = **made;
  constexpr std::string_view name = "remsh";
  SSL_CTX_set_session_id_context(impl.context.get(), reinterpret_cast<const unsigned char*>(name.data()),
                                 static_cast<unsigned>(name.size()));
  SSL_CTX_set_verify(impl.context.get(), SSL_VERIFY_NONE, nullptr);
  if (identity != nullptr) {
    auto used = use_identity(impl.context.get(), *identity);
    if (!used) return std::move(used).failure();
    impl.certificate_digest = *std::move(used);
    impl.has_certificate = true;
  }
  if (find_key) {
    std::array<char, Secret::size> decoy{};
    random_bytes(decoy);
    impl.key = Secret::from_bytes({decoy.data(), decoy.size()});
    impl.find_key = std::move(find_key);
    SSL_CTX_set_psk_find_session_callback(impl.context.get(), TlsEngine::Callbacks::find_key);
  }
  return std::shared_ptr<const TlsContext>(new TlsContext(std::move(*made)));
}

// TlsServer.

TlsServer::TlsServer(FindTlsKey find_key, std::optional<TlsIdentity> identity, const TlsTuning& tuning)
    : find_key_(std::move(find_key)), identity_(std::move(identity)), tuning_(tuning) {}

Result<std::unique_ptr<TlsServer>> TlsServer::create(FindTlsKey find_key, std::optional<TlsIdentity> identity,
                                                     const TlsTuning& tuning) {
  std::unique_ptr<TlsServer> server(new TlsServer(std::move(find_key), std::move(identity), tuning));
  if (auto loaded = server->reload(); !loaded) return std::move(loaded).failure();
  return server;
}

std::shared_ptr<const TlsContext> TlsServer::context() const {
  const std::lock_guard lock(mutex_);
  return context_;
}

Result<bool> TlsServer::reload() {
  const std::lock_guard reading(reading_);
  auto made = TlsContext::server(find_key_, identity_ ? &*identity_ : nullptr, tuning_);
  if (!made) return std::move(made).failure();
  const std::lock_guard lock(mutex_);
  if (context_ && context_->certificate_digest() == (*made)->certificate_digest()) return false;
  context_ = std::move(*made);
  return true;
}

// TlsEngine.

void TlsEngine::Free::operator()(ssl_st* ssl) const noexcept { SSL_free(ssl); }

TlsEngine::TlsEngine(std::shared_ptr<const TlsContext> context)
    : context_(std::move(context)), patience_(max_patience) {
  const TlsContext::Impl& shared = *context_->impl_;
  ssl_.reset(SSL_new(shared.context.get()));
  BIO* const bio = ssl_ ? BIO_new(shared.method.get()) : nullptr;
  if (bio == nullptr) throw std::bad_alloc();
  BIO_set_data(bio, this);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_app_data(ssl_.get(), this);
  SSL_set_msg_callback_arg(ssl_.get(), this);
  if (shared.is_server) {
    SSL_set_accept_state(ssl_.get());
  } else {
    SSL_set_connect_state(ssl_.get());
    if (!shared.server_name.empty() && !shared.name_is_number) {
      SSL_set_tlsext_host_name(ssl_.get(), shared.server_name.c_str());
    }
  }
}

TlsEngine::~TlsEngine() = default;

TlsEngine::Status TlsEngine::fail(Failure failure) {
  if (!failed_) failure_ = std::move(failure);
  failed_ = true;
  ERR_clear_error();
  return Status::failed;
}

/// After a call that did not succeed: it lacks input, or failed.
TlsEngine::Status TlsEngine::fail(int result) {
  const int error = SSL_get_error(ssl_.get(), result);
  if (error == SSL_ERROR_WANT_READ) return Status::want_input;
  if (error == SSL_ERROR_ZERO_RETURN) {
    if (!open_) return fail({Errc::connection_lost, "the other side ended TLS before it began", 0});
    ended_ = true;
    return Status::ended;
  }
  if (patience_ == 0) return fail({Errc::protocol_error, "the other side sends messages of TLS without end", 0});
  const unsigned long reason = ERR_peek_last_error();
  if (!open_) return fail(handshake_failure(reason));
  const char* const text = ERR_reason_error_string(reason);
  return fail({Errc::protocol_error,
               "TLS failed (" + std::string(text != nullptr ? text : "unknown error") +
                   "): what came is not what the other side sent, or it broke the connection off",
               0});
}

Failure TlsEngine::handshake_failure(unsigned long error) const {
  const TlsContext::Impl& context = *context_->impl_;
  const int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
  const int alert =
      reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256 ? reason - SSL_AD_REASON_OFFSET : -1;
  const char* const words = error != 0 ? ERR_reason_error_string(error) : nullptr;
  const std::string why = " (" +
                          (alert >= 0 ? std::string("TLS alert: ") + SSL_alert_desc_string_long(alert)
                           : words    ? words
                                      : "no reason") +
                          ")";
  const std::string key_of = "'" + escaped(claimed_) + "'";
  switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
      return {Errc::protocol_error, "the other side does not speak TLS: is one of the two set up for plain TCP?" + why,
              0};
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION: return {Errc::protocol_error, "the other side speaks no TLS 1.3" + why, 0};
    case SSL_R_BINDER_DOES_NOT_VERIFY:
      if (is_unknown_) {
        const std::string because = why_unknown_.empty() ? "" : ": " + why_unknown_;
        return {Errc::auth_failed, "there is no key here for " + key_of + because, 0};
      }
      return {Errc::auth_failed, "the other side does not know the key of " + key_of, 0};
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
      if (context.key) {
        return {Errc::auth_failed,
                "the other side does not know the key, and shows a certificate: it is another server, or one for "
                "clients without keys",
                0};
      }
      return {Errc::auth_failed,
              "the certificate of the other side is not accepted (" +
                  std::string(X509_verify_cert_error_string(SSL_get_verify_result(ssl_.get()))) +
                  "): it must be valid, for '" + escaped(context.server_name) + "', and by a CA of those given",
              0};
    default: break;
  }
  if (context.is_server) {
    if (alert >= 0) {
      const std::string what = context.has_certificate ? "our certificate" : "our key";
      return {Errc::auth_failed, "the other side does not accept " + what + why, 0};
    }
    const bool has_nothing_in_common =
        reason == SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM || reason == SSL_R_NO_SHARED_CIPHER;
    if (has_nothing_in_common && claimed_.empty() && !context.has_certificate) {
      return {Errc::auth_failed, "the other side offers no key, and this server has no certificate" + why, 0};
    }
  } else if (alert >= 0 && context.key) {
    const bool is_of_key =
        alert == SSL_AD_ILLEGAL_PARAMETER || alert == SSL_AD_DECRYPT_ERROR || alert == SSL_AD_UNKNOWN_PSK_IDENTITY;
    return {Errc::auth_failed,
            "the other side does not accept our key: compare name and key of both sides; its log says why" +
                (is_of_key ? "" : why),
            0};
  } else if (alert >= 0) {
    return {Errc::auth_failed, "the other side refuses: it may have no certificate, only keys; its log says more" + why,
            0};
  }
  return {Errc::protocol_error, "the TLS handshake failed" + why, 0};
}

/// The handshake is over, as far as OpenSSL is concerned.
TlsEngine::Status TlsEngine::finish() {
  const TlsContext::Impl& context = *context_->impl_;
  SSL* const ssl = ssl_.get();
  const bool by_key = SSL_session_reused(ssl) == 1;
  const bool is_good = SSL_version(ssl) == TLS1_3_VERSION && (!by_key || (context.key && !is_unknown_)) &&
                       (by_key || (context.is_server ? context.has_certificate : !context.key));
  if (!is_good) return fail({Errc::auth_failed, "the other side did not use the key", 0});
  std::array<unsigned char, 32> exported{};
  if (SSL_export_keying_material(ssl, exported.data(), exported.size(), exporter_label.data(), exporter_label.size(),
                                 nullptr, 0, 0) != 1) {
    return fail({Errc::local_os_error, "TLS: no exporter: " + take_error(), 0});
  }
  exporter_.assign(reinterpret_cast<const char*>(exported.data()), exported.size());
  if (by_key) identity_ = context.is_server ? claimed_ : context.identity;
  claimed_.clear();
  open_ = true;
  return Status::ok;
}

TlsEngine::Status TlsEngine::handshake(BytesView& ciphertext) {
  if (failed_) return Status::failed;
  if (open_) return Status::ok;
  ERR_clear_error();
  in_ = ciphertext;
  const int result = SSL_do_handshake(ssl_.get());
  const Status status = result == 1 ? finish() : fail(result);
  ciphertext = std::exchange(in_, {});
  return status;
}

TlsEngine::Status TlsEngine::read(BytesView& ciphertext, std::span<char> plaintext, std::size_t& size) {
  size = 0;
  assert(open_);
  if (failed_) return Status::failed;
  if (ended_) return Status::ended;
  ERR_clear_error();
  in_ = ciphertext;
  Status status = Status::ok;
  while (size < plaintext.size() && status == Status::ok) {
    const auto room = static_cast<int>(std::min<std::size_t>(plaintext.size() - size, INT_MAX));
    const int result = SSL_read(ssl_.get(), plaintext.data() + size, room);
    if (result > 0) {
      size += static_cast<std::size_t>(result);
    } else {
      status = fail(result);
    }
  }
  ciphertext = std::exchange(in_, {});
  if (!failed_ && decrypted_ / 2 >= context_->impl_->tuning.records_per_key) ask_for_new_keys();
  return status;
}

bool TlsEngine::has_plaintext() const noexcept { return SSL_pending(ssl_.get()) > 0; }

/// The other side's keys are its own to renew; this is for one that does not.
void TlsEngine::ask_for_new_keys() {
  if (closed_) return;
  ERR_clear_error();
  if (SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_REQUESTED) == 1) {
    SSL_do_handshake(ssl_.get());  // only writes
    decrypted_ = 0;
  }
  ERR_clear_error();  // in the middle of another message: later
}

void TlsEngine::expect(std::size_t plaintext) {
  out_.reserve(out_.size() + plaintext + (plaintext / max_record + 3) * record_overhead);
}

bool TlsEngine::write(BytesView plaintext) {
  assert(open_);
  ERR_clear_error();
  while (!plaintext.empty() && !failed_ && !closed_) {
    if (encrypted_ >= context_->impl_->tuning.records_per_key) {
      SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED);  // goes ahead of the record; if not now, of the next
      ERR_clear_error();
    }
    const std::size_t size = std::min(plaintext.size(), max_record);
    const int result = SSL_write(ssl_.get(), plaintext.data(), static_cast<int>(size));
    if (result > 0) {
      plaintext.remove_prefix(static_cast<std::size_t>(result));
    } else if (fail(result) == Status::want_input) {  // memory is always there to be written to
      fail({Errc::protocol_error, "the other side cuts messages of TLS", 0});
    }
  }
  return plaintext.empty();
}

void TlsEngine::close() noexcept {
  if (!open_ || failed_ || std::exchange(closed_, true)) return;
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

void TlsEngine::cut() {
  if (open_) {
    fail({Errc::connection_lost,
          "the connection was cut, as it ended without the end of TLS: the process of the other side was killed or "
          "crashed, "
          "or something between closed it",
          0});
  } else {
    fail({Errc::connection_lost, "the other side closed the connection in the TLS handshake", 0});
  }
}

void TlsEngine::sent(std::size_t bytes) noexcept {
  constexpr std::size_t worth_keeping = 512;
  sent_ += bytes;
  if (sent_ < out_.size()) return;
  sent_ = 0;
  out_.clear();
  if (out_.capacity() > worth_keeping) Bytes().swap(out_);
}

}  // namespace remsh
