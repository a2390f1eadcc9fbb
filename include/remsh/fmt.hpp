// For programs that use fmt: formatters for the library's types. No other installed header includes or needs fmt.
#pragma once

#include <remsh/base/error.hpp>
#include <remsh/base/log.hpp>
#include <remsh/connection/box.hpp>
#include <remsh/connection/box_codec.hpp>
#include <remsh/connection/trace.hpp>
#include <remsh/operations/execute.hpp>
#include <remsh/operations/filesystem.hpp>

#include <fmt/format.h>

#include <concepts>
#include <string_view>

namespace remsh {

/// The types that are formatted by to_string(), with width, fill and precision as for strings.
template <class T>
concept FormattedAsText = std::same_as<T, Errc> || std::same_as<T, LogLevel> || std::same_as<T, BoxError> ||
    std::same_as<T, Box> || std::same_as<T, BoxView> || std::same_as<T, TraceRecord> ||
    std::same_as<T, ExecuteResult> || std::same_as<T, FileType> || std::same_as<T, FileInfo>;

}  // namespace remsh

/// fmt::print("{:>10} {}\n", info->type, result);
template <remsh::FormattedAsText T>
struct fmt::formatter<T> : fmt::formatter<std::string_view> {
  template <class Context>
  auto format(const T& value, Context& context) const {
    const auto text = to_string(value);
    return fmt::formatter<std::string_view>::format(text, context);
  }
};
