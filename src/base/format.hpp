// Formatting of text. Only this file and format.cpp include fmt; this file includes only its light header.
#pragma once

#include <string>

// A host program may contain another version of fmt. In a static library our symbols would be merged with it, so our
// copy uses another namespace (like Asio, see transport/asio.hpp).
#define fmt remsh_fmt
#if __has_include(<fmt/base.h>)  // from fmt 11
#include <fmt/base.h>
#else
#include <fmt/core.h>
#endif
#if defined(REMSH_FMT_SOURCES)  // in format.cpp
#include <fmt/format.h>
#endif
#undef fmt

namespace remsh {

/// formatted() with type-erased values.
std::string format_values(remsh_fmt::string_view text, remsh_fmt::format_args values);

/// The text with each {} replaced by the next value, as by fmt::format(). The text is checked at compile time.
///
///     formatted("{} is on line {}", in_quotes(name), line)
///
/// Not named format(), because with a std::string argument the compiler would also find std::format().
template <class... Values>
std::string formatted(remsh_fmt::format_string<Values...> text, Values&&... values) {
  return format_values(text, remsh_fmt::make_format_args(values...));
}

}  // namespace remsh
