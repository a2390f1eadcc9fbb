#include "master/entry_rules.hpp"

#include "base/text.hpp"

namespace remsh {

std::optional<Failure> why_rejected(const Names::Newcomer& newcomer, const EntryRules& rules) {
  const auto reject = [&newcomer](const std::string& why) {
    return Failure{Errc::auth_failed, in_quotes(newcomer.name) + " " + why, 0};
  };
  if (!rules.tls_identity.empty()) {
    const bool is_same = newcomer.proof == Proof::key && rules.tls_identity == newcomer.name + ":" + newcomer.key_id;
    if (!is_same) {
      return reject("does not register with the key by which it came: TLS has proven " + in_quotes(rules.tls_identity));
    }
  }
  if (newcomer.proof != Proof::none) return std::nullopt;
  if (!rules.keyless) {
    return reject("has no key, and this listener takes no slaves without one: set `keyless` as well to accept them");
  }
  if (rules.name_has_key) return reject("has proven no key, but there is one for this name");
  return std::nullopt;
}

}  // namespace remsh
