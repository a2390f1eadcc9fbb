// Option: a row of the table of all options of remsh-slave.
#pragma once

#include "programs/command.hpp"
#include "programs/settings.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace remsh::program {

/// An error in a value, as the rest of a sentence that begins with the name of the option.
using Fault = std::optional<std::string>;

/// The parts of --help. The options of a part are adjacent rows.
enum class Section : std::uint8_t { master, proof, work, log, keys, other };

struct Option {
  Uses uses;
  Section section;
  std::string_view name;          ///< "retry-max": --retry-max on a command line, and this name in a file
  std::string_view variable;      ///< the environment variable: "REMSH_RETRY_MAX"; empty: none
  std::string_view metavariable;  ///< the name of its value in --help; empty: a switch, which has no value
  std::string_view help;          ///< one line

  /// Stores a value, which is not empty; a switch gets "yes" or "no".
  Fault (*set)(Settings& settings, const std::string& value);

  /// Only for an option that may be repeated: removes the values that were set before.
  void (*clear)(Settings& settings) = nullptr;
};

/// Whether a configuration file may have the option; `remsh-slave create` takes the same ones.
constexpr bool is_for_files(const Option& option) {
  return (option.uses & for_create) != 0 && option.section != Section::other;
}

/// The table. A name may occur twice, for different uses.
std::span<const Option> options();

/// The option with this name for these uses; nullptr if there is none.
const Option* find_option(Uses uses, std::string_view name);

/// A value in quotes, for a message. A value that is long enough to be a key is not shown.
std::string shown(std::string_view value);

}  // namespace remsh::program
