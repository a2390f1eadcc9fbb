#include "programs/program.hpp"

#include "base/format.hpp"
#include "os/standard_descriptors.hpp"
#include "programs/command.hpp"
#include "programs/help.hpp"
#include "programs/option_reader.hpp"

#include <remsh/version.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <span>
#include <string_view>
#include <vector>

namespace remsh::program {

namespace {

int run(const Command& command, std::span<const std::string_view> arguments) {
  Settings settings{.now = std::chrono::system_clock::now()};
  settings.arguments.assign(arguments.begin(), arguments.end());
  OptionReader reader(command, settings);
  if (auto read = reader.read_arguments(arguments); !read) return complain(command, read.failure().message);
  switch (settings.shows) {
    case Shows::nothing: break;
    case Shows::help: std::fputs(help_text(command).c_str(), stdout); return exit_ok;
    case Shows::version:
      std::fputs(formatted("remsh-slave {}, protocol remsh {}\n", version, protocol_version).c_str(), stdout);
      return exit_ok;
  }
  if (auto read = reader.read_environment(std::getenv); !read) return complain(command, read.failure().message);
  return command.run(settings, reader);
}

}  // namespace

int run_program(int argc, char** argv) {
  open_missing_standard_streams();
  const std::vector<std::string_view> words(argv, argv + argc);
  std::span<const std::string_view> arguments(words);
  if (!arguments.empty()) arguments = arguments.subspan(1);
  const std::string_view first = arguments.empty() ? std::string_view() : arguments.front();
  const auto named =
      std::find_if(commands().begin(), commands().end(), [first](const Command& one) { return one.word == first; });
  const Command& command = named == commands().end() ? commands().front() : *named;
  if (!command.word.empty()) arguments = arguments.subspan(1);
  try {
    return run(command, arguments);
  } catch (const std::exception& error) {
    return fail(command, exit_software, error.what());
  }
}

}  // namespace remsh::program
