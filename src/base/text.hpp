// Escaping of bytes for messages, logs and terminals.
#pragma once

#include <remsh/base/bytes.hpp>

#include <cstddef>
#include <string>

namespace remsh {

/// Printable ASCII unchanged, backslashes doubled, every other byte as \xNN: the bytes can be recovered.
std::string escaped(BytesView bytes);

/// escaped(), in single quotes.
std::string in_quotes(BytesView text);

/// in_quotes() of the first 64 bytes, followed by "..." if there are more.
std::string start_in_quotes(BytesView text);

/// For text in any language: unchanged, except that invalid UTF-8 and characters with an effect (controls, line
/// separators, changes of text direction) become \xNN.
std::string without_controls(BytesView text);

/// The text without the prefix, if it begins with it.
std::string without_prefix(std::string text, BytesView prefix);

/// The size in bytes of the UTF-8 character at the beginning of the text; 0 if there is none.
std::size_t utf8_size(BytesView text) noexcept;

/// Whether all of it is UTF-8.
bool is_utf8(BytesView text) noexcept;

}  // namespace remsh
