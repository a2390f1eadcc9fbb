#include "auth/derive.hpp"

#include "auth/hmac.hpp"

namespace remsh::auth {

Secret derive(const Secret& key, std::string_view purpose) {
  return hmac(key.bytes(), "remsh/2 " + std::string(purpose));
}

std::string kid(const Secret& key) {
  constexpr std::string_view digits = "0123456789abcdef";
  const Secret id = derive(key, "kid");
  std::string text;
  for (const char c : id.bytes().substr(0, 4)) {
    const auto byte = static_cast<unsigned char>(c);
    text += {digits[byte >> 4U], digits[byte & 0xfU]};
  }
  return text;
}

}  // namespace remsh::auth
