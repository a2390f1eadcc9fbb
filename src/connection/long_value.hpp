// Long values: the one rule for values over 65535 bytes. docs/protocol.md section 3.
//
// A long value is cut: the first 65535 bytes are the value of its key, the next those of the key followed by "~0001",
// then "~0002" and so on; all but the last are full.
#pragma once

#include "base/result.hpp"

#include <remsh/connection/box.hpp>
#include <remsh/connection/box_codec.hpp>

#include <cstddef>

namespace remsh {

/// True where a value does not fit into a box on the wire, so that split_long_values() has something to do.
[[nodiscard]] bool has_long_value(const Box& box) noexcept;

/// What a call of a master may be: more than other boxes, so that it holds every list of arguments and environment that
/// Linux takes for a program, which is 6 MiB at most. docs/protocol.md section 9.
inline constexpr BoxLimits call_limits{.bytes = std::size_t{8} * 1024 * 1024, .fields = 1024};

/// The same box with its long values cut. Fails with too_large where no box of these limits can hold it, and with
/// invalid_argument where the key of a long value has a '~' or no room for the continuation's number, or where a
/// continuation's key is taken.
Result<Box> split_long_values(const Box& box, BoxLimits limits = {});

/// The same box with its long values joined, as a receiver needs it. Fails with invalid_argument where a continuation
/// is empty, has no full part before it, or where a key with a '~' is anything but a continuation.
Result<Box> join_long_values(Box box);

}  // namespace remsh
