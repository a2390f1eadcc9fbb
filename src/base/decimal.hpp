// Decimal numbers as the protocol writes them, without leading zeros.
#pragma once

#include <remsh/base/bytes.hpp>

#include <array>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <system_error>

namespace remsh {

/// The digits of a number, without an allocation; with a sign if it is negative.
class Decimal {
 public:
  explicit Decimal(std::integral auto value) noexcept {
    const char* const end = std::to_chars(text_.data(), text_.data() + text_.size(), value).ptr;
    size_ = static_cast<std::size_t>(end - text_.data());
  }
  operator BytesView() const noexcept { return {text_.data(), size_}; }

 private:
  std::array<char, 20> text_{};
  std::size_t size_ = 0;
};

/// The number; nullopt unless the text is a number of 64 bits without leading zeros.
inline std::optional<std::uint64_t> from_decimal(BytesView text) {
  constexpr std::size_t always_fits = 19;  // digits
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  std::uint64_t value = 0;
  if (text.size() <= always_fits) {  // quicker than std::from_chars(), which looks for an overflow at each digit
    for (const char digit : text) {
      if (digit < '0' || digit > '9') return std::nullopt;
      value = value * 10 + static_cast<std::uint64_t>(digit - '0');
    }
    return value;
  }
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
