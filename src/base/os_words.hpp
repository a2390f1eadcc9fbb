// What an error of the operating system means, in words.
#pragma once

#include <cerrno>
#include <string>
#include <system_error>

namespace remsh {

/// The system's words for an errno value of this program, with the next step if there is one.
inline std::string os_words(int error) {
  std::string words = std::generic_category().message(error);
  if (error == EMFILE) words += "; allow this process more descriptors (ulimit -n), or close some";
  if (error == ENFILE) words += "; this machine has no more descriptors for anybody";
  return words;
}

}  // namespace remsh
