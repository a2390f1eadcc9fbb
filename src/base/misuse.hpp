// misuse(): how the library ends a program that does what would otherwise hang it, or corrupt it.
#pragma once

namespace remsh {

/// Says on stderr what was done and what to do instead, and aborts: also in a release, as there is no way on. Only for
/// mistakes of the program itself, never for anything that comes from a peer.
[[noreturn]] void misuse(const char* what) noexcept;

}  // namespace remsh
