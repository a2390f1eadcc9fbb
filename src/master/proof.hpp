// Proof: what a slave has shown to be the one of its name.
#pragma once

#include <cstdint>

namespace remsh {

/// What a slave has shown to be the one of its name.
enum class Proof : std::uint8_t {
  none,     ///< nothing: a slave without a key, whatever protocol it speaks
  key,      ///< it has proven a key of the name, over whatever transport
  started,  ///< we started its process under this name, and only that process was given the descriptor
};

}  // namespace remsh
