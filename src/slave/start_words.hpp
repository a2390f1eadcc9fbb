// StartWord: the words with which listeners of the library start a slave.
#pragma once

#include <remsh/slave/embedded.hpp>

#include <span>
#include <string>
#include <string_view>

namespace remsh {

/// A word that LocalSlaveListener or SlaveLauncher appends to the command of a slave. If it ends with '=', a value
/// follows.
struct StartWord {
  std::string_view word;
  void (*set)(SlaveProgramOptions& options, const std::string& value);
};

/// All words that run_embedded_slave() accepts, apart from encoded_mark. remsh-slave has an option for each of them, as
/// a listener does not know which program it starts. The other options of remsh-slave are not among them, so the
/// library needs no parser for command lines.
std::span<const StartWord> start_words() noexcept;

/// The values of the words after this one are percent-encoded.
inline constexpr std::string_view encoded_mark = "--percent-encoded";

}  // namespace remsh
