#include "slave/key_input.hpp"

#include "base/secret_text.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <span>
#include <string_view>
#include <system_error>

namespace remsh {

namespace {

/// Whether the text has a complete line that is neither empty nor a comment.
bool has_whole_line(std::string_view text) {
  for (std::size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    const std::string_view line = text.substr(0, end);
    const std::size_t first = line.find_first_not_of(" \t\r");
    if (first != std::string_view::npos && line[first] != '#') return true;
    text.remove_prefix(end + 1);
  }
  return false;
}

}  // namespace

Result<auth::KeyLine> read_key_input(int descriptor, bool to_the_end) {
  constexpr std::size_t most = auth::max_key_line;
  SecretText text;  // stdio's buffer is never wiped
  while (text.view().size() <= most) {
    const std::span<char> room = text.grow(1024);
    const ssize_t count = ::read(descriptor, room.data(), room.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      return Failure{Errc::local_os_error, "standard input: " + std::generic_category().message(errno), errno};
    }
    text.added(static_cast<std::size_t>(count));
    if (count == 0 || (!to_the_end && has_whole_line(text.view()))) {
      return auth::parse_own_key(text.view(), "standard input");
    }
  }
  return Failure{Errc::invalid_argument, "standard input: there is more than a line of a name and a key", 0};
}

}  // namespace remsh
