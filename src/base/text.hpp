// Making any bytes fit to be shown: in messages, in logs, on terminals.
#pragma once

#include <remsh/base/bytes.hpp>

#include <string>

namespace remsh {

/// Printable ASCII as it is, a backslash doubled, every other byte as \xNN: says exactly which bytes they were.
std::string escaped(BytesView bytes);

/// Control bytes as \xNN, everything else as it is: for sentences, which may be in any language.
std::string without_controls(BytesView text);

}  // namespace remsh
