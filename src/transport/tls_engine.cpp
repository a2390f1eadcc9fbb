// TLS 1.3 over memory, using OpenSSL: one connection.
#include "transport/tls_engine.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "transport/tls_callbacks.hpp"
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
#include <new>
#include <utility>

namespace remsh {

using namespace tls;

namespace {

constexpr std::string_view exporter_label = "EXPORTER-remsh-2";
constexpr std::size_t record_overhead = 22;  // header, type and tag

/// OpenSSL's message in brackets, for the end of a message.
std::string why_failed(unsigned long error, int alert) {
  if (alert >= 0) return formatted(" (TLS alert: {})", SSL_alert_desc_string_long(alert));
  const char* const words = error != 0 ? ERR_reason_error_string(error) : nullptr;
  return formatted(" ({})", words != nullptr ? words : "no reason");
}

}  // namespace

void TlsEngine::Free::operator()(ssl_st* ssl) const noexcept { SSL_free(ssl); }

TlsEngine::TlsEngine(std::shared_ptr<const TlsContext> context)
    : context_(std::move(context)), patience_(max_tls_patience) {
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

/// Handles a call that did not succeed: it needs input, or has failed.
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
               formatted("TLS failed ({}): what came is not what the other side sent, or it broke the connection off",
                         text != nullptr ? text : "unknown error"),
               0});
}

Failure TlsEngine::handshake_failure(unsigned long error) const {
  const TlsContext::Impl& context = *context_->impl_;
  const int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
  const int alert =
      reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256 ? reason - SSL_AD_REASON_OFFSET : -1;
  const std::string why = why_failed(error, alert);
  const std::string key_of = in_quotes(claimed_);
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
        return {Errc::auth_failed, formatted("there is no key here for {}{}", key_of, because), 0};
      }
      return {Errc::auth_failed, "the other side does not know the key of " + key_of, 0};
    case SSL_R_CERTIFICATE_VERIFY_FAILED: return certificate_failure();
    default: break;
  }
  if (context.is_server) {
    if (alert >= 0) {
      const std::string what = context.has_certificate ? "our certificate" : "our key";
      return {Errc::auth_failed, formatted("the other side does not accept {}{}", what, why), 0};
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

Failure TlsEngine::certificate_failure() const {
  if (context_->impl_->key) {
    return {Errc::auth_failed,
            "the other side does not know the key, and shows a certificate: it is another server, or one for "
            "clients without keys",
            0};
  }
  return {Errc::auth_failed,
          formatted("the certificate of the other side is not accepted ({}): it must be valid, for {}, and by a CA of "
                    "those given",
                    X509_verify_cert_error_string(SSL_get_verify_result(ssl_.get())),
                    in_quotes(context_->impl_->server_name)),
          0};
}

/// Completes the handshake after OpenSSL has: checks that a key or a certificate was used.
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
    if (result <= 0) {
      status = fail(result);
      continue;
    }
    size += static_cast<std::size_t>(result);
    // OpenSSL takes no more than the record that it works on, so there is nothing left. To ask it costs as much as a
    // small record.
    if (size < plaintext.size() && in_.empty() && !has_plaintext()) status = Status::want_input;
  }
  ciphertext = std::exchange(in_, {});
  if (!failed_ && decrypted_ / 2 >= context_->impl_->tuning.records_per_key) ask_for_new_keys();
  return status;
}

bool TlsEngine::has_plaintext() const noexcept { return SSL_pending(ssl_.get()) > 0; }

/// Normally the other side replaces its keys itself; this is for one that does not.
void TlsEngine::ask_for_new_keys() {
  if (closed_) return;
  ERR_clear_error();
  if (SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_REQUESTED) == 1) {
    SSL_do_handshake(ssl_.get());  // only writes
    decrypted_ = 0;
  }
  ERR_clear_error();  // fails in the middle of another message; tried again later
}

void TlsEngine::expect(std::size_t plaintext) {
  out_.reserve(out_.size() + plaintext + (plaintext / max_record + 3) * record_overhead);
}

bool TlsEngine::write(BytesView plaintext) {
  assert(open_);
  ERR_clear_error();
  while (!plaintext.empty() && !failed_ && !closed_) {
    if (encrypted_ >= context_->impl_->tuning.records_per_key) {
      SSL_key_update(ssl_.get(),
                     SSL_KEY_UPDATE_NOT_REQUESTED);  // sent before the record; if it fails, tried with the next
      ERR_clear_error();
    }
    const std::size_t size = std::min(plaintext.size(), max_record);
    const int result = SSL_write(ssl_.get(), plaintext.data(), static_cast<int>(size));
    if (result > 0) {
      plaintext.remove_prefix(static_cast<std::size_t>(result));
    } else if (fail(result) == Status::want_input) {  // output to memory never blocks
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
          "crashed, or something between closed it",
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
