// known_protocols(): all protocols that this library has.
#pragma once

#include <remsh/master/slave_protocol.hpp>

#include <vector>

namespace remsh {

/// All protocols that this library has. A listener also recognises those that it does not accept, in order to say so.
[[nodiscard]] std::vector<SlaveProtocol> known_protocols();

}  // namespace remsh
