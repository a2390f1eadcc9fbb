// Random bytes from the operating system, fit for nonces and names that nobody may guess.
#pragma once

#include <span>

namespace remsh {

/// Fills the buffer. Throws std::system_error where the system gives none. Thread-safe.
void random_bytes(std::span<char> buffer);

}  // namespace remsh
