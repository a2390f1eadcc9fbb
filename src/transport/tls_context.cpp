#include "transport/tls_context.hpp"

#include "os/random.hpp"
#include "transport/tls_callbacks.hpp"
#include "transport/tls_certificates.hpp"

#include <array>
#include <utility>

namespace remsh {

using namespace tls;

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
  // A certificate in place of the key fails verification: no CA is trusted.
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

}  // namespace remsh
