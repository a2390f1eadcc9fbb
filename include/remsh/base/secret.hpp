// Secret: 32 bytes that only two sides know, such as the key of a slave.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/export.hpp>

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace remsh {

/// 32 secret bytes. A value type with constant-time comparison. Its memory is wiped when it is destroyed or moved from.
/// It has no stream operator and no formatter.
///
///     if (auto key = remsh::Secret::from_base64(word)) options.key = *key;
class REMSH_API Secret {
 public:
  static constexpr std::size_t size = 32;

  /// nullopt unless there are exactly 32 bytes.
  static std::optional<Secret> from_bytes(BytesView bytes);

  /// From the 44 characters that to_base64() returns; nullopt for any other spelling or length.
  static std::optional<Secret> from_base64(std::string_view text);

  Secret(const Secret& other) noexcept = default;
  Secret(Secret&& other) noexcept;
  Secret& operator=(const Secret& other) noexcept = default;
  Secret& operator=(Secret&& other) noexcept;
  ~Secret();

  /// For computations. The view is valid as long as the secret.
  [[nodiscard]] BytesView bytes() const noexcept { return {bytes_.data(), bytes_.size()}; }

  /// Padded base64, for key files. The caller must wipe the string.
  [[nodiscard]] std::string to_base64() const;

  /// Takes the same time regardless of where the two differ.
  friend bool operator==(const Secret& a, const Secret& b) noexcept { return a.equals(b); }

 private:
  Secret() noexcept = default;
  [[nodiscard]] bool equals(const Secret& other) const noexcept;

  std::array<char, size> bytes_{};
};

}  // namespace remsh
