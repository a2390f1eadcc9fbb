// Bytes: what boxes, paths and output are made of.
#pragma once

#include <string>
#include <string_view>

namespace remsh {

/// A sequence of any bytes; not necessarily text, may contain NUL.
using Bytes = std::string;

/// A view of bytes that somebody else owns.
using BytesView = std::string_view;

}  // namespace remsh
