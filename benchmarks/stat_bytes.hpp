// The bytes of one stat() call, for the limits: what they send and receive is as long as what we do.
#pragma once

#include <remsh/base/bytes.hpp>

#include <string_view>

namespace remsh::bench {

/// The path that every stat() of the benchmark asks for.
inline constexpr const char* stat_path = "/";

/// A call, with a tag as it is after some thousands of calls.
Bytes stat_request();

/// The answer to it, with this tag. Throws if the path cannot be looked at.
Bytes stat_answer(std::string_view tag = "1a2b");

}  // namespace remsh::bench
