// remsh-slave stop: ends the slave that `remsh-slave run` runs in a directory.
#include "base/format.hpp"
#include "base/text.hpp"
#include "os/process_table.hpp"
#include "os/unique_fd.hpp"
#include "programs/command.hpp"
#include "programs/slave_directory.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>
#include <system_error>

namespace remsh::program {

namespace {

constexpr std::string_view usage_of_stop =
    "usage: remsh-slave stop DIR [--now]\n"
    "\n"
    "Ends the slave that 'remsh-slave run DIR' runs, and waits until it has ended: its master gives it no\n"
    "new work, and lets it go when its job is done, within the time of its option --drain. If a service\n"
    "manager runs the slave, stop it there.\n";

constexpr std::array codes_of_stop{exit_ok, exit_usage, exit_software};

int fail(const std::string& directory, const std::string& why) {
  return program::fail(stop_command(), exit_software, formatted("{}: {}", in_quotes(directory), why));
}

/// Makes this process one of the user whose file names the process to signal: a user must not make root end a process
/// of somebody else. Returns an errno value, or 0.
int become(uid_t user) {
  if (::geteuid() != 0 || user == 0) return 0;
  return ::setresuid(user, user, user) == 0 ? 0 : errno;
}

int run_stop(Settings& settings, OptionReader&) {
  if (settings.words.size() != 1) return complain(stop_command(), "give the directory of one slave");
  const std::string& name = settings.words.front();
  const UniqueFd directory(::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return fail(name, std::generic_category().message(errno));
  const auto found = find_slave_process(directory.get());
  if (!found) return fail(name, formatted("the slave runs, but not as which process: {}", found.failure().message));
  if (!*found) {
    std::fputs(formatted("no slave runs in {}\n", in_quotes(name)).c_str(), stderr);
    return exit_ok;
  }
  const SlaveProcess& slave = **found;
  if (const int error = become(slave.owner)) return fail(name, std::generic_category().message(error));
  const ProcessReader reader;
  if (!signal_process(reader, slave.id, settings.stops_now ? SIGINT : SIGTERM)) {
    const std::string why = reader.is_there(slave.id) ? std::generic_category().message(errno)
                                                      : "it has just ended, or another one has just begun: try again";
    return fail(name, formatted("process {}: {}", slave.id.pid, why));
  }
  if (!wait_for_end(reader, slave.id)) return fail(name, "this system does not say when a process has ended");
  return exit_ok;
}

}  // namespace

const Command& stop_command() {
  static constexpr Command command{for_stop, "stop", usage_of_stop, "\n", codes_of_stop, run_stop};
  return command;
}

}  // namespace remsh::program
