// remsh-slave run: runs the slave of a directory that `remsh-slave create` has made.
#include "base/format.hpp"
#include "base/text.hpp"
#include "programs/command.hpp"
#include "programs/config_file.hpp"
#include "programs/serve.hpp"
#include "programs/slave_directory.hpp"

#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

namespace remsh::program {

namespace {

constexpr std::string_view usage_of_run =
    "usage: remsh-slave run DIR [options]\n"
    "\n"
    "Runs the slave of a directory that 'remsh-slave create DIR' has made, with the options in its file\n"
    "slave.conf. Relative paths begin in DIR, those of the command line too. One slave at a time runs\n"
    "there.\n";

constexpr std::string_view notes_of_run =
    "\nA value on the command line counts before one in the environment, and that before one in slave.conf.\n"
    "Signals do what they do to 'remsh-slave'.\n\n";

constexpr std::array codes_of_run{exit_ok,   exit_usage,    exit_unreachable, exit_software,
                                  exit_lost, exit_protocol, exit_refused};

int run_slave_directory(Settings& settings, OptionReader& given) {
  if (settings.words.size() != 1) return complain(run_command(), "give the directory of one slave");
  const std::string name = settings.words.front();
  std::error_code unknown;
  settings.program.restart_in = std::filesystem::current_path(unknown).string();
  const auto directory = enter_slave_directory(name, given);
  if (!directory) {
    const Failure& failure = directory.failure();
    return failure.code == Errc::os_error ? fail(run_command(), exit_software, failure.message)
                                          : complain(run_command(), failure.message);
  }
  const auto taken = take_slave_directory(directory->get());
  if (!taken || !*taken) {
    const std::string why = taken ? formatted("the slave runs already: 'remsh-slave stop {}' ends it", in_quotes(name))
                                  : taken.failure().message;
    return fail(run_command(), exit_software, formatted("{}: {}", in_quotes(name), why));
  }
  if (settings.program.master.empty()) {
    return complain(run_command(), formatted("{}/{} has no line 'master = ADDRESS'", name, config_name));
  }
  return serve(run_command(), settings, given, std::string(config_name));
}

}  // namespace

const Command& run_command() {
  static constexpr Command command{for_run, "run", usage_of_run, notes_of_run, codes_of_run, run_slave_directory};
  return command;
}

}  // namespace remsh::program
