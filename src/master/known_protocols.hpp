// known_protocols(): all protocols that this library has.
#pragma once

#include <remsh/master/slave_protocol.hpp>

#include <vector>

namespace remsh {

/// All protocols that this library has. A listener recognises also those that it does not accept, to say so.
[[nodiscard]] std::vector<SlaveProtocol> known_protocols();

}  // namespace remsh
