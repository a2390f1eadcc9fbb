#include "os/terminal.hpp"

#include "base/decimal.hpp"
#include "os/file.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <limits>
#include <utility>

namespace remsh {

namespace {

std::optional<std::uint16_t> side_of_window(BytesView text) {
  const auto number = from_decimal(text);
  if (!number || *number == 0 || *number > std::numeric_limits<std::uint16_t>::max()) return std::nullopt;
  return static_cast<std::uint16_t>(*number);
}

/// The end for the program.
UniqueFd open_program_end(int ours) {
#if defined(TIOCGPTPEER)
  UniqueFd theirs(::ioctl(ours, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (theirs) return theirs;
#endif
  std::array<char, 128> name{};
  if (const int error = ::ptsname_r(ours, name.data(), name.size()); error != 0) {
    errno = error;
    return {};
  }
  return UniqueFd(::open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC));
}

}  // namespace

std::optional<WindowSize> window_size(BytesView text) {
  const std::size_t cross = text.find('x');
  if (cross == BytesView::npos) return std::nullopt;
  const auto columns = side_of_window(text.substr(0, cross));
  const auto rows = side_of_window(text.substr(cross + 1));
  if (!columns || !rows) return std::nullopt;
  return WindowSize{.columns = *columns, .rows = *rows};
}

Result<ChildPipe> open_terminal(WindowSize size) {
  ChildPipe ends{UniqueFd(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)), UniqueFd()};
  if (!ends.ours) return os_failure(errno, "a terminal");
  if (::grantpt(ends.ours.get()) != 0 || ::unlockpt(ends.ours.get()) != 0) return os_failure(errno, "a terminal");
  ends.theirs = open_program_end(ends.ours.get());
  if (!ends.theirs) return os_failure(errno, "a terminal");
  if (::fcntl(ends.ours.get(), F_SETFL, O_NONBLOCK) != 0) return os_failure(errno, "a terminal");
  if (Result<void> sized = resize_terminal(ends.ours.get(), size); !sized) return std::move(sized).failure();
  return ends;
}

Result<void> resize_terminal(int descriptor, WindowSize size) {
  winsize window{};
  window.ws_col = size.columns;
  window.ws_row = size.rows;
  if (::ioctl(descriptor, TIOCSWINSZ, &window) != 0) return os_failure(errno, "the size of a terminal");
  return {};
}

Bytes end_of_typing(int descriptor, bool is_in_line) {
  constexpr char usual = 4;  // Ctrl-D
  termios state{};
  const char key = ::tcgetattr(descriptor, &state) == 0 ? static_cast<char>(state.c_cc[VEOF]) : usual;
  return Bytes(is_in_line ? 2 : 1, key);  // the first one delivers the line
}

}  // namespace remsh
