#include "auth/derive.hpp"

#include "auth/hmac.hpp"
#include "base/hex.hpp"

namespace remsh::auth {

Secret derive(const Secret& key, std::string_view purpose) {
  return hmac(key.bytes(), "remsh/2 " + std::string(purpose));
}

std::string kid(const Secret& key) { return to_hex(derive(key, "kid").bytes().substr(0, 4)); }

bool is_kid(BytesView text) noexcept { return text.size() == 8 && is_hex(text); }

}  // namespace remsh::auth
