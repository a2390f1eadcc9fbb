// Bytes: the type of boxes' values, paths and output.
#pragma once

#include <string>
#include <string_view>

namespace remsh {

/// A sequence of any bytes; not necessarily text, may contain NUL.
using Bytes = std::string;

/// A view of bytes that it does not own.
using BytesView = std::string_view;

}  // namespace remsh
