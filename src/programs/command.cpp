#include "programs/command.hpp"

#include "base/format.hpp"

#include <array>
#include <cstdio>

namespace remsh::program {

std::span<const Command> commands() {
  static const std::array all{serve_command(), create_command(), run_command(),   check_command(),
                              stop_command(),  enrol_command(),  keygen_command()};
  return all;
}

std::string full_name(const Command& command) {
  return command.word.empty() ? "remsh-slave" : formatted("remsh-slave {}", command.word);
}

int complain(const Command& command, const std::string& what) {
  const std::string name = full_name(command);
  std::fputs(formatted("{}: {}\nTry '{} --help'.\n", name, what, name).c_str(), stderr);
  return exit_usage;
}

int fail(const Command& command, ExitCode code, const std::string& what) {
  std::fputs(formatted("{}: {}\n", full_name(command), what).c_str(), stderr);
  return code;
}

}  // namespace remsh::program
