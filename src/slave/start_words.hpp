// StartWord: the words with which listeners of the library start a slave.
#pragma once

#include <remsh/slave/embedded.hpp>

#include <span>
#include <string>
#include <string_view>

namespace remsh {

/// A word that LocalSlaveListener or SlaveLauncher puts behind the command of a slave. One that ends with '=' has a
/// value behind it.
struct StartWord {
  std::string_view word;
  void (*set)(SlaveProgramOptions& options, const std::string& value);
};

/// All that run_embedded_slave() takes, beside encoded_mark. remsh-slave has an option for each, as a listener does not
/// know which program it starts; its other options are none of these, so the library needs no command line.
std::span<const StartWord> start_words() noexcept;

/// The values of the words behind this one are percent-encoded.
inline constexpr std::string_view encoded_mark = "--percent-encoded";

}  // namespace remsh
