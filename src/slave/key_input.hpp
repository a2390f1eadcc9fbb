// Reading a line `NAME KEY` from standard input.
#pragma once

#include "auth/key_line.hpp"
#include "base/result.hpp"

namespace remsh {

/// Reads a line `NAME KEY`. Empty lines and comments may precede it; anything else is an error. Returns once that line
/// is complete or, with `to_the_end`, at the end of the input. Blocks. Wipes the memory that it reads into.
Result<auth::KeyLine> read_key_input(int descriptor, bool to_the_end);

}  // namespace remsh
