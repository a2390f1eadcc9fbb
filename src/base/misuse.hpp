// misuse(): ends a program that uses the library in a way that would hang or corrupt it.
#pragma once

namespace remsh {

/// Prints to stderr what was wrong and what to do instead, and aborts, in release builds too. Only for errors of the
/// host program, never for input from a peer.
[[noreturn]] void misuse(const char* what) noexcept;

}  // namespace remsh
