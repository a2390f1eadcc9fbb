#include "slave/standard_streams.hpp"

#include <remsh/transport/descriptors.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace remsh {

UniqueFd take_standard_input() {
  UniqueFd in(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!in || !null || ::dup2(null.get(), STDIN_FILENO) < 0) {
    throw std::system_error(errno, std::generic_category(), "standard input");
  }
  return in;
}

std::unique_ptr<Transport> take_standard_streams() {
  UniqueFd in = take_standard_input();
  UniqueFd out(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
  if (!out || ::dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
    throw std::system_error(errno, std::generic_category(), "standard output");
  }
  const int from = in.release();
  return pipe_transport(from, out.release(), "stdio");
}

}  // namespace remsh
