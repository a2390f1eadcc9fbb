// Whether this library can compress streams.
#pragma once

#include <remsh/base/export.hpp>

namespace remsh {

/// False if this library was built without zstd. Then Remsh2Options::compression and SlaveOptions::compression are
/// refused.
[[nodiscard]] REMSH_API bool has_compression() noexcept;

}  // namespace remsh
