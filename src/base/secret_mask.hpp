// SecretMask: hides secrets in texts that people see.
#pragma once

#include <remsh/base/bytes.hpp>

#include <vector>

namespace remsh {

/// Finds secrets in texts, also in their escaped form, and replaces them. One thread at a time.
class SecretMask {
 public:
  explicit SecretMask(const std::vector<Bytes>& secrets);

  /// Whether a secret is in the text.
  [[nodiscard]] bool is_in(BytesView text) const;

  /// The text with `***` in place of each secret. Secrets that overlap are replaced together. Apply it to the whole
  /// text, before it is cut: a part of a secret is not found.
  [[nodiscard]] Bytes applied_to(BytesView text) const;

 private:
  std::vector<Bytes> secrets_;
};

}  // namespace remsh
