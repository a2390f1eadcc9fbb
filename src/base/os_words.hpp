// Messages for errors of the operating system.
#pragma once

#include <cerrno>
#include <string>
#include <system_error>

namespace remsh {

/// The system's message for an errno value of this program, with advice if there is any.
inline std::string os_words(int error) {
  std::string words = std::generic_category().message(error);
  if (error == EMFILE) words += "; allow this process more descriptors (ulimit -n), or close some";
  if (error == ENFILE) words += "; this machine has no more descriptors for anybody";
  return words;
}

}  // namespace remsh
