#include "base/secret_mask.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace remsh {

SecretMask::SecretMask(const std::vector<Bytes>& secrets) {
  for (const Bytes& secret : secrets) {
    if (secret.empty()) continue;
    secrets_.push_back(secret);
    if (Bytes in_messages = escaped(secret); in_messages != secret) secrets_.push_back(std::move(in_messages));
  }
}

bool SecretMask::is_in(BytesView text) const {
  return std::any_of(secrets_.begin(), secrets_.end(),
                     [text](const Bytes& secret) { return text.find(secret) != BytesView::npos; });
}

Bytes SecretMask::applied_to(BytesView text) const {
  if (!is_in(text)) return Bytes(text);
  std::vector<bool> hidden(text.size());
  for (const Bytes& secret : secrets_) {
    for (auto at = text.find(secret); at != BytesView::npos; at = text.find(secret, at + 1)) {
      const auto begin = hidden.begin() + static_cast<std::ptrdiff_t>(at);
      std::fill_n(begin, secret.size(), true);
    }
  }
  Bytes shown;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!hidden[i]) {
      shown += text[i];
    } else if (i == 0 || !hidden[i - 1]) {
      shown += "***";
    }
  }
  return shown;
}

}  // namespace remsh
