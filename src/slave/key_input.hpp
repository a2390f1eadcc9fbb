// How a line `NAME KEY` comes by standard input.
#pragma once

#include "auth/key_line.hpp"
#include "base/result.hpp"

namespace remsh {

/// Reads a line `NAME KEY`, which must be all that there is: as far as it has come with that line, or `to_the_end` of
/// the input. Empty lines and comments may go before it. Blocks. What it reads into is wiped.
Result<auth::KeyLine> read_key_input(int descriptor, bool to_the_end);

}  // namespace remsh
