// What the texts of remsh 1's errors mean: it has no codes, only what its Python and its system said.
#pragma once

#include "base/result.hpp"

#include <remsh/base/bytes.hpp>

namespace remsh::remsh1 {

/// The failure that a text tells of: with the errno value of this system where the text says one that is known, else
/// remote_failure. The message is the text, cut where it is very long.
[[nodiscard]] Failure failure_of(BytesView text);

}  // namespace remsh::remsh1
