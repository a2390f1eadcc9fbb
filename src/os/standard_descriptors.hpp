// Standard input, output and error, before anything else is opened.
#pragma once

namespace remsh {

/// Opens /dev/null for each standard stream that is closed, as a program may have started this one. Otherwise the next
/// files and sockets get these numbers, and what is written to standard error goes into one of them. Call it first.
void open_missing_standard_streams() noexcept;

}  // namespace remsh
