// Decimal numbers as the protocol writes them: without sign or leading zero.
#pragma once

#include <remsh/base/bytes.hpp>

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>

namespace remsh {

inline Bytes to_decimal(std::uint64_t value) { return std::to_string(value); }

/// The number; nullopt unless the text is a number of 64 bits without leading zeros.
inline std::optional<std::uint64_t> from_decimal(BytesView text) {
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || at != end) return std::nullopt;
  return value;
}

/// Like from_decimal(), but with at most 19 digits, the limit of the protocol.
inline std::optional<std::uint64_t> parse_number(BytesView text) {
  if (text.size() > 19) return std::nullopt;
  return from_decimal(text);
}

}  // namespace remsh
