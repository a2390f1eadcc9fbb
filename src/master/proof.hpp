// Proof: how a slave has proven its name.
#pragma once

#include <cstdint>

namespace remsh {

/// How a slave has proven its name.
enum class Proof : std::uint8_t {
  none,     ///< not at all: it has no key, whatever protocol it speaks
  key,      ///< it has proven a key of the name, over any transport
  started,  ///< the master started its process under this name, and gave the connection to no other
};

}  // namespace remsh
