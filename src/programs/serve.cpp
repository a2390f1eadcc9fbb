// remsh-slave without a command word: serves a master.
#include "base/format.hpp"
#include "programs/command.hpp"
#include "programs/nearest.hpp"
#include "programs/option_reader.hpp"

#include <remsh/base/error.hpp>
#include <remsh/slave/embedded.hpp>

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh::program {

namespace {

constexpr std::string_view usage =
    "usage: remsh-slave --master ADDRESS [options]\n"
    "       remsh-slave --stdio [options]\n"
    "       remsh-slave enrol ...     gets a key for an invitation: 'remsh-slave enrol --help'\n"
    "       remsh-slave keygen ...    makes keys for slaves: 'remsh-slave keygen --help'\n"
    "\n"
    "Connects to a master, registers, and does what the master asks until it is stopped.\n";

constexpr std::string_view notes =
    "\n"
    "SIGTERM and SIGINT end it. SIGHUP makes it read its key file again and connect now, if it waits to\n"
    "connect; a connection that is there stays, and the next one reads the file anyway. With a terminal,\n"
    "--once or --stdio, SIGHUP ends it.\n"
    "\n";

constexpr std::array codes{exit_ok,   exit_usage,    exit_unreachable, exit_software,
                           exit_lost, exit_protocol, exit_refused};

/// The message about a word that is not an option: most likely a mistyped command.
std::string about_stray(const std::string& word) {
  std::vector<std::string_view> known;
  for (const Command& command : commands()) {
    if (!command.word.empty()) known.push_back(command.word);
  }
  const auto meant = nearest(word, known);
  return formatted("there is a word too many: {}{}", shown(word), meant ? formatted("; did you mean {}?", *meant) : "");
}

/// Checks options that are each valid, but may exclude each other.
std::optional<std::string> check_together(const Settings& settings, const OptionReader& given) {
  if (!settings.words.empty()) return about_stray(settings.words.front());
  if (settings.stdio == !settings.program.master.empty()) return "give either --master ADDRESS or --stdio";
  if (!settings.stdio) return std::nullopt;
  for (const Option* const option : given.on_command_line()) {
    if (option->section == Section::proof) {
      return formatted("--stdio serves the program that started it, without proofs: it takes no --{}", option->name);
    }
  }
  if (settings.program.until_eof) return "--stdio ends with standard input anyway: leave --until-eof out";
  return std::nullopt;
}

int run(Settings& settings, const OptionReader& given) {
  if (const auto fault = check_together(settings, given)) return complain(serve_command(), *fault);
  SlaveProgramOptions& program = settings.program;
  program.key_from_input = settings.key == "-";
  if (!program.key_from_input) program.slave.key_file = settings.key;
  program.log_level = settings.quiet ? LogLevel::error : settings.verbose ? LogLevel::debug : LogLevel::info;
  try {
    return run_slave_program(std::move(program));
  } catch (const Error& error) {
    return complain(serve_command(), error.what());
  }
}

}  // namespace

const Command& serve_command() {
  static constexpr Command command{for_serve, "", usage, notes, codes, run};
  return command;
}

}  // namespace remsh::program
