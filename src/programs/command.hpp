// Command: remsh-slave itself, and `remsh-slave create`, `run`, `check`, `stop`, `enrol` and `keygen`.
#pragma once

#include "base/exit_code.hpp"
#include "programs/settings.hpp"

#include <span>
#include <string>
#include <string_view>

namespace remsh::program {

class OptionReader;

/// The commands that an option is for: bits, since some options are for several.
using Uses = unsigned;
inline constexpr Uses for_serve = 1;
inline constexpr Uses for_enrol = 2;
inline constexpr Uses for_add = 4;  // of keygen, as the next three
inline constexpr Uses for_invite = 8;
inline constexpr Uses for_list = 16;
inline constexpr Uses for_remove = 32;
inline constexpr Uses for_keygen = for_add | for_invite | for_list | for_remove;
inline constexpr Uses for_create = 64;
inline constexpr Uses for_run = 128;
inline constexpr Uses for_check = 256;
inline constexpr Uses for_stop = 512;
inline constexpr Uses for_slave = for_serve | for_create | for_run | for_check;
inline constexpr Uses for_all = for_slave | for_stop | for_enrol | for_keygen;

struct Command {
  Uses uses;
  std::string_view word;   ///< the first argument; empty for the command without a word
  std::string_view usage;  ///< the beginning of --help
  std::string_view notes;  ///< the text of --help after the options
  std::span<const ExitCode> exit_codes;
  int (*run)(Settings& settings, OptionReader& given);
};

/// All commands; the first is the one without a word.
std::span<const Command> commands();

/// The command as a user types it: "remsh-slave enrol".
std::string full_name(const Command& command);

/// Reports on standard error what is wrong with the arguments, and how to get help. Returns the exit code.
int complain(const Command& command, const std::string& what);

/// Reports on standard error why the command failed. Returns the exit code.
int fail(const Command& command, ExitCode code, const std::string& what);

const Command& serve_command();
const Command& create_command();
const Command& run_command();
const Command& check_command();
const Command& stop_command();
const Command& enrol_command();
const Command& keygen_command();

}  // namespace remsh::program
