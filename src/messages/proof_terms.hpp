// ProofTerms: what a listener or a client demands of the other side.
#pragma once

#include "base/result.hpp"
#include "transport/address.hpp"
#include "transport/tls_context.hpp"

#include <remsh/messages/auth_key.hpp>

#include <memory>
#include <optional>

namespace remsh::messages {

/// What a listener or a client demands of the other side, from its options.
struct ProofTerms {
  std::optional<AuthKey> key = {};
  std::optional<bool> require_sha256 = {};
  bool authenticate = false;
  bool insecure = false;

  /// Fails for options that contradict each other or the address.
  [[nodiscard]] Result<void> check(const Address& address) const;

  /// Fails if plain TCP leaves this machine, and the options do not allow that.
  [[nodiscard]] Result<void> check_reach(const Address& address, bool is_local) const;

  [[nodiscard]] bool allows_md5(bool is_local) const { return !require_sha256.value_or(!is_local); }

  /// TLS with the key. After check().
  [[nodiscard]] Result<std::shared_ptr<const TlsContext>> tls_of_listener() const;
  [[nodiscard]] Result<std::shared_ptr<const TlsContext>> tls_of_client() const;
};

}  // namespace remsh::messages
