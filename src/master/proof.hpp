// Proof: what shows that a slave is the one of its name.
#pragma once

#include <cstdint>

namespace remsh {

/// What shows that a slave is the one of its name.
enum class Proof : std::uint8_t {
  none,     ///< nothing: it has no key, whatever protocol it speaks
  key,      ///< it has proven a key of the name, over any transport
  started,  ///< the master started its process under this name, and gave the connection to no other
};

}  // namespace remsh
