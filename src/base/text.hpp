// Making any bytes fit to be shown: in messages, in logs, on terminals.
#pragma once

#include <remsh/base/bytes.hpp>

#include <cstddef>
#include <string>

namespace remsh {

/// Printable ASCII as it is, a backslash doubled, every other byte as \xNN: says exactly which bytes they were.
std::string escaped(BytesView bytes);

/// escaped(), in single quotes.
std::string quoted(BytesView text);

/// The same of the first 64 bytes, with "..." behind them if there are more.
std::string quoted_start(BytesView text);

/// For sentences, which may be in any language: as they are, but for bytes that are no UTF-8 and characters that do
/// something (controls, line separators, those that turn the direction of writing), which become \xNN.
std::string without_controls(BytesView text);

/// The text without the prefix, if it begins with that.
std::string without_prefix(std::string text, BytesView prefix);

/// The bytes of the character that a text begins with, by UTF-8; 0 where it begins with none.
std::size_t utf8_size(BytesView text) noexcept;

}  // namespace remsh
