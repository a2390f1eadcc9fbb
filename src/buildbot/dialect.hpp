// Dialect: which of the two protocols of Buildbot's workers is spoken.
#pragma once

#include <cstdint>

namespace remsh::buildbot {

enum class Dialect : std::uint8_t { msgpack, pb };

}  // namespace remsh::buildbot
