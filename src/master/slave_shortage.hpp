// Explains why no slave of a collection qualifies.
#pragma once

#include "master/slave_request.hpp"

#include <remsh/base/deadline.hpp>

namespace remsh {

/// Throws the Timeout of a request whose deadline has passed: how many slaves there are, how many of them the filter
/// excludes, and which of the others are reserved and for whom. Calls the filter for every slave.
[[noreturn]] void throw_shortage(SlavePool& pool, const SlaveWish& wish, TimePoint begun, TimePoint deadline);

}  // namespace remsh
