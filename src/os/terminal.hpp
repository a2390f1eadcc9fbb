// Terminals (pseudo terminals) for programs that we start.
#pragma once

#include "base/result.hpp"
#include "os/process.hpp"

#include <remsh/base/bytes.hpp>

#include <cstdint>
#include <optional>

namespace remsh {

/// The size of a terminal, in characters. 0: unknown.
struct WindowSize {
  std::uint16_t columns = 0;
  std::uint16_t rows = 0;
};

/// Reads COLUMNSxROWS, both from 1 to 65535.
std::optional<WindowSize> window_size(BytesView text);

/// Makes a terminal. Our end does not block. What the program writes can be read from it until nobody has the terminal
/// open, and then EIO; what is written to it is typed on the terminal.
Result<ChildPipe> open_terminal(WindowSize size);

/// Changes the size of a terminal by either end. Its foreground processes get SIGWINCH.
Result<void> resize_terminal(int descriptor, WindowSize size);

/// What must be typed to end the input of the program that reads the terminal. A line that is not finished needs more.
Bytes end_of_typing(int descriptor, bool is_in_line);

}  // namespace remsh
