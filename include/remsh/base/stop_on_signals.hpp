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
/// Call it first in main(): the signals are blocked in the calling thread and in all threads that it starts later, and
/// a thread of the library receives them. A second signal ends the program at once, as by default. A signal that is
/// already ignored, as by nohup, stays ignored. Every call returns the same token. Throws std::system_error if no
/// thread can be started.
REMSH_API std::stop_token stop_on_signals();

}  // namespace remsh
