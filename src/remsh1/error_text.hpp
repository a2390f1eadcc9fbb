// The meaning of the error texts of remsh 1: it has no codes, only messages of Python and of the system.
#pragma once

#include "base/result.hpp"

#include <remsh/base/bytes.hpp>

namespace remsh::remsh1 {

/// The failure that a text describes: with an errno value of this system if the text has a known one, otherwise
/// remote_failure. The message is the text, cut if it is very long.
[[nodiscard]] Failure failure_of(BytesView text);

}  // namespace remsh::remsh1
