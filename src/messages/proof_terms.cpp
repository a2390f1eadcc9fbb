#include "messages/proof_terms.hpp"

#include "base/format.hpp"

#include <remsh/base/secret.hpp>

#include <string>
#include <string_view>

namespace remsh::messages {

namespace {

/// The identity of every client and listener: the key alone decides. Slaves have names, which differ from it, so that a
/// key used for both proves nothing there.
constexpr std::string_view identity = "messages/1";

Failure wrong(std::string why) { return {Errc::invalid_argument, std::move(why), 0}; }

}  // namespace

Result<void> ProofTerms::check(const Address& address) const {
  if (authenticate && !key) {
    return wrong("`authenticate` needs an `authkey`: no key is taken from anywhere else; random_authkey() makes one");
  }
  if (address.kind != Address::Kind::tls) return {};
  if (!key) return wrong("TLS needs an `authkey`: random_authkey() makes one");
  if (key->bytes().size() != Secret::size) {
    return wrong(formatted("TLS needs an `authkey` of {} bytes, as random_authkey() makes; this one has {}",
                           Secret::size, key->bytes().size()));
  }
  return {};
}

Result<void> ProofTerms::check_reach(const Address& address, bool is_local) const {
  if (address.kind != Address::Kind::tcp || is_local || insecure) return {};
  return wrong("plain TCP is for the loopback alone: write tls:HOST:PORT, which needs an `authkey`, or say `insecure`");
}

Result<std::shared_ptr<const TlsContext>> ProofTerms::tls_of_listener() const {
  return TlsContext::server([secret = *Secret::from_bytes(key->bytes())](std::string_view claimed) -> TlsKey {
    if (claimed == identity) return {secret};
    return {std::nullopt, "it is no client of messages"};
  });
}

Result<std::shared_ptr<const TlsContext>> ProofTerms::tls_of_client() const {
  return TlsContext::client(std::string(identity), *Secret::from_bytes(key->bytes()));
}

}  // namespace remsh::messages
