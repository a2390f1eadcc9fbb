// stop_on_signals: Ctrl-C as a stop token.
#pragma once

#include <remsh/base/export.hpp>

#include <stop_token>

namespace remsh {

/// A token that is stopped when the program gets SIGINT (Ctrl-C) or SIGTERM.
///
///     int main() {
///       const std::stop_token stop = remsh::stop_on_signals();
///       ...
///       slave->execute({"make"}, {.stop = stop});   // throws Cancelled, and make is ended
///
/// To be called first in main(): the signals are blocked in the calling thread and in all that are started later, and a
/// thread of the library takes them. A second signal ends the program at once, as if nobody had asked for signals. One
/// that is ignored when this is called, as nohup and shells do it, stays ignored. Every call returns the same token.
/// Throws std::system_error if no thread can be had.
REMSH_API std::stop_token stop_on_signals();

}  // namespace remsh
