// remsh-slave without a command word: serves a master.
#include "programs/serve.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "programs/nearest.hpp"
#include "programs/option_reader.hpp"

#include <remsh/base/error.hpp>
#include <remsh/slave/embedded.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh::program {

namespace {

constexpr std::string_view usage_of_serve =
    "usage: remsh-slave --master ADDRESS [options]\n"
    "       remsh-slave --stdio [options]\n"
    "       remsh-slave create DIR ...  makes a directory for a slave: 'remsh-slave create --help'\n"
    "       remsh-slave run DIR         runs the slave of such a directory: 'remsh-slave run --help'\n"
    "       remsh-slave check DIR       says whether that slave would work: 'remsh-slave check --help'\n"
    "       remsh-slave stop DIR        ends that slave: 'remsh-slave stop --help'\n"
    "       remsh-slave enrol ...       gets a key for an invitation: 'remsh-slave enrol --help'\n"
    "       remsh-slave keygen ...      makes keys for slaves: 'remsh-slave keygen --help'\n"
    "\n"
    "Connects to a master, registers, and does what the master asks until it is stopped.\n";

constexpr std::string_view notes_of_serve =
    "\n"
    "SIGTERM and SIGINT end it. SIGHUP makes it read its key file again and connect now, if it waits to\n"
    "connect; a connection that is there stays, and the next one reads the file anyway. It also opens the\n"
    "log file again, and reads master, verbose and quiet from the configuration file again. With a\n"
    "terminal, --once or --stdio, SIGHUP ends it.\n"
    "\n";

constexpr std::array codes_of_serve{exit_ok,   exit_usage,    exit_unreachable, exit_software,
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
  if (settings.stdio == !settings.program.master.empty()) {
    return "give either --master ADDRESS, on the command line or in a configuration file, or --stdio";
  }
  if (!settings.stdio) return std::nullopt;
  for (const Option* const option : given.on_command_line()) {
    if (option->section == Section::proof) {
      return formatted("--stdio serves the program that started it, without proofs: it takes no --{}", option->name);
    }
  }
  if (settings.program.until_eof) return "--stdio ends with standard input anyway: leave --until-eof out";
  return std::nullopt;
}

int run_serve(Settings& settings, OptionReader& given) {
  if (!settings.config.empty()) {
    if (auto read = given.read_config(settings.config); !read) return complain(serve_command(), read.failure().message);
  }
  if (const auto fault = check_together(settings, given)) return complain(serve_command(), *fault);
  return serve(serve_command(), settings, given, settings.config);
}

LogLevel log_level_of(const Settings& settings) {
  return settings.quiet ? LogLevel::error : settings.verbose ? LogLevel::debug : LogLevel::info;
}

/// The options that count while the slave runs; the others need a restart.
bool is_reloaded(const Option& option) {
  return option.name == "master" || option.name == "verbose" || option.name == "quiet";
}

using AllGiven = std::vector<OptionReader::Given>;

/// The options that have changed although they count from the next start on.
std::string changed_in_vain(const AllGiven& before, const AllGiven& now) {
  std::string names;
  const auto add_unless_in = [&names](const AllGiven& one, const AllGiven& other) {
    for (const OptionReader::Given& given : one) {
      const std::string name(given.option->name);
      const bool is_same = std::find(other.begin(), other.end(), given) != other.end();
      if (is_same || is_reloaded(*given.option) || names.find(in_quotes(name)) != std::string::npos) continue;
      names += (names.empty() ? "" : ", ") + in_quotes(name);
    }
  };
  add_unless_in(now, before);
  add_unless_in(before, now);
  return names;
}

/// Reads the options again. Throws Error if they are not valid any more.
SlaveProgramOptions reread(const Command& command, const std::vector<std::string>& arguments, const std::string& config,
                           const AllGiven& before, const LogHook& log) {
  Settings settings{.now = std::chrono::system_clock::now()};
  OptionReader reader(command, settings);
  const std::vector<std::string_view> words(arguments.begin(), arguments.end());
  auto read = reader.read_arguments(words);
  if (read) read = reader.read_environment(std::getenv);
  if (read) read = reader.read_config(config);
  if (!read) throw Error(Errc::invalid_argument, "", "", read.failure().message);
  if (const std::string names = changed_in_vain(before, reader.given()); !names.empty()) {
    log({LogLevel::warning, "slave", "", formatted("changes of {} count from the next start on", names)});
  }
  settings.program.log_level = log_level_of(settings);
  return std::move(settings.program);
}

}  // namespace

int serve(const Command& command, Settings& settings, const OptionReader& given, const std::string& config) {
  SlaveProgramOptions& program = settings.program;
  program.key_from_input = settings.key == "-";
  if (!program.key_from_input) program.slave.key_file = settings.key;
  program.log_level = log_level_of(settings);
  if (!config.empty()) {
    program.reload = [&command, arguments = settings.arguments, config, before = given.given()](const LogHook& log) {
      return reread(command, arguments, config, before, log);
    };
  }
  try {
    return run_slave_program(std::move(program));
  } catch (const Error& error) {
    return complain(command, error.what());
  }
}

const Command& serve_command() {
  static constexpr Command command{for_serve, "", usage_of_serve, notes_of_serve, codes_of_serve, run_serve};
  return command;
}

}  // namespace remsh::program
