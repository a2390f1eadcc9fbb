// Random bytes from the operating system, for nonces and for names that must not be predictable.
#pragma once

#include <remsh/base/bytes.hpp>

#include <cstddef>
#include <span>

namespace remsh {

/// Fills the buffer. Throws std::system_error if the system has none. Thread-safe.
void random_bytes(std::span<char> buffer);

/// Two hexadecimal digits for each of `count` random bytes: part of a name. Throws as random_bytes() does.
Bytes random_hex(std::size_t count);

}  // namespace remsh
