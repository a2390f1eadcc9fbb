// Long values: the one rule for values over 65535 bytes. docs/protocol.md section 3.
//
// A long value is split: the first 65535 bytes are the value of its key, the next ones are the value of the key
// followed by "~0001", then "~0002" and so on; all but the last are full.
#pragma once

#include "base/result.hpp"

#include <remsh/connection/box.hpp>
#include <remsh/connection/box_codec.hpp>

#include <cstddef>

namespace remsh {

/// True if a value is too long for a box on the wire, so that split_long_values() has something to do.
[[nodiscard]] bool has_long_value(const Box& box) noexcept;

/// The limits of a master's call. They are larger than those of other boxes, so that a call can hold every list of
/// arguments and environment that Linux accepts for a program, at most 6 MiB. docs/protocol.md section 9.
inline constexpr BoxLimits call_limits{.bytes = std::size_t{8} * 1024 * 1024, .fields = 1024};

/// The box with its long values split. Fails with too_large if no box within these limits can hold it, and with
/// invalid_argument if the key of a long value contains '~' or has no room for the continuation's number, or if the key
/// of a continuation is already in use.
Result<Box> split_long_values(const Box& box, BoxLimits limits = {});

/// The box with its long values joined. Fails with invalid_argument if a continuation is empty or does not follow a
/// full part, or if a key with '~' is not a continuation.
Result<Box> join_long_values(Box box);

}  // namespace remsh
