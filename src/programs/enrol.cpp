// remsh-slave enrol: exchanges an invitation for a key of this slave.
#include "auth/derive.hpp"
#include "auth/key_file.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "programs/command.hpp"
#include "programs/option_reader.hpp"
#include "slave/key_input.hpp"

#include <remsh/base/error.hpp>
#include <remsh/base/secret.hpp>
#include <remsh/slave/enrol.hpp>

#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <array>
#include <cstdio>
#include <string>
#include <string_view>

namespace remsh::program {

namespace {

constexpr std::string_view usage_of_enrol =
    "usage: remsh-slave enrol --master tls:HOST:PORT --key FILE [options]\n"
    "\n"
    "Gets this slave a key of its own for an invitation: its token, the line NAME TOKEN that\n"
    "'remsh-slave keygen invite' printed, is read from standard input, and is used up by it.\n"
    "\n";

constexpr std::string_view notes_of_enrol = "\nIf it is refused, the master's log says why.\n";

constexpr std::array codes_of_enrol{exit_ok,   exit_usage,    exit_unreachable, exit_software,
                                    exit_lost, exit_protocol, exit_refused};

int fail(ExitCode code, const std::string& what) { return program::fail(enrol_command(), code, what); }

int enrol_with(const auth::KeyLine& token, const Settings& settings) {
  const std::string& file = settings.key;
  try {
    const Secret key = enrol(settings.program.master, token.name, token.key, settings.program.slave.tls);
    const std::string key_id = auth::kid(key);
    if (auto written = auth::write_own_key(file, token.name, key, false); !written) {
      return fail(exit_software,
                  formatted("{}; the token is used up, and the key {} lost: remove it at the master, and invite again",
                            written.failure().message, key_id));
    }
    std::fputs(formatted("'{}' has the key {}, in {}\n", token.name, key_id, in_quotes(file)).c_str(), stderr);
    return exit_ok;
  } catch (const Error& error) {
    return fail(exit_code_of(error.code()), error.what());
  }
}

int run_enrol(Settings& settings, OptionReader&) {
#ifdef __linux__
  // No core file contains the token or the key, and no other process of this user can read them here.
  ::prctl(PR_SET_DUMPABLE, 0);
#endif
  // The word may be a token, so it is not shown.
  if (!settings.words.empty()) return complain(enrol_command(), "there is a word too many");
  if (settings.program.master.empty() || settings.key.empty()) {
    return complain(enrol_command(), "give --master tls:HOST:PORT and --key FILE");
  }
  // Checked first: if the key could not be stored later, the token would be lost.
  if (auto room = auth::check_new_own_key(settings.key); !room) {
    return fail(exit_software, room.failure().code == Errc::in_use
                                   ? in_quotes(settings.key) + " is there already: give a new file"
                                   : room.failure().message);
  }
  const auto token = read_key_input(STDIN_FILENO, true);
  if (!token) return fail(exit_usage, token.failure().message);
  return enrol_with(*token, settings);
}

}  // namespace

const Command& enrol_command() {
  static constexpr Command command{for_enrol, "enrol", usage_of_enrol, notes_of_enrol, codes_of_enrol, run_enrol};
  return command;
}

}  // namespace remsh::program
