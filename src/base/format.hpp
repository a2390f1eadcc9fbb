// Text with values in it. The one door to fmt, of which this includes only the light header.
#pragma once

#include <string>

// A program may hold another fmt, of another version, beside this one. Within the static library ours would be linked
// with it as if they were the same; so its namespace has another name (as Asio's has, see transport/asio.hpp).
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

/// formatted(), for values whose types are no longer known to the compiler.
std::string format_values(remsh_fmt::string_view text, remsh_fmt::format_args values);

/// The text with each {} replaced by the value in its turn, as fmt::format() does it. The compiler checks the text.
///
///     formatted("{} is on line {}", quoted(name), line)
///
/// It is not named format() because the compiler would find std::format() by a std::string among the values.
template <class... Values>
std::string formatted(remsh_fmt::format_string<Values...> text, Values&&... values) {
  return format_values(text, remsh_fmt::make_format_args(values...));
}

}  // namespace remsh
