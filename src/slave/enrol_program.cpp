#include "slave/enrol_program.hpp"

#include "auth/derive.hpp"
#include "auth/key_file.hpp"
#include "base/exit_code.hpp"
#include "base/text.hpp"
#include "slave/key_input.hpp"

#include <remsh/base/error.hpp>
#include <remsh/base/secret.hpp>
#include <remsh/slave/enrol.hpp>

#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace remsh {

namespace {

constexpr const char* usage =
    "usage: remsh-slave enrol --master tls:HOST:PORT --key FILE [options]\n"
    "\n"
    "Gets this slave a key of its own for an invitation: its token, the line NAME TOKEN that\n"
    "'remsh-slave keygen invite' gave, is read from standard input, and is used up by it.\n"
    "\n"
    "  --master ADDRESS    of the master that the invitation is from\n"
    "  --key FILE          the new file for the key, mode 0600; for remsh-slave --key FILE\n"
    "  --ca FILE           the master also shows a certificate by one of these CAs\n"
    "  --server-name NAME  the name in that certificate (default: the host of the address)\n"
    "\n"
    "exit codes: 0 done, 64 usage, 69 master not reachable, 70 no key file can be written, 75 connection lost,\n"
    "            76 the other side does not speak the protocol, 77 refused; the master's log says why\n";

int complain(const std::string& what) {
  std::fprintf(stderr, "remsh-slave enrol: %s\nTry 'remsh-slave enrol --help'.\n", what.c_str());
  return exit_usage;
}

int fail(ExitCode code, const std::string& what) {
  std::fprintf(stderr, "remsh-slave enrol: %s\n", what.c_str());
  return code;
}

struct Arguments {
  std::string master;
  std::string key;
  TlsTrust tls;
};

/// The exit code, where the arguments are such that the program ends here.
std::optional<int> parse(int argc, char** argv, Arguments& arguments) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--help" || word == "-h") {
      std::fputs(usage, stdout);
      return exit_ok;
    }
    if (!word.starts_with('-'))
      return complain("there is a word too many");  // which may be a token, so it is not shown
    const std::size_t equals = word.find('=');
    const std::string option(word.substr(0, equals));
    std::string* const into = option == "--master"        ? &arguments.master
                              : option == "--key"         ? &arguments.key
                              : option == "--ca"          ? &arguments.tls.ca
                              : option == "--server-name" ? &arguments.tls.server_name
                                                          : nullptr;
    if (into == nullptr) return complain("unknown option '" + escaped(option) + "'");
    if (equals != std::string_view::npos) {
      *into = word.substr(equals + 1);
    } else if (i + 1 < argc) {
      *into = argv[++i];
    }
    if (into->empty()) return complain("the option " + option + " needs a value");
  }
  if (arguments.master.empty() || arguments.key.empty()) return complain("give --master tls:HOST:PORT and --key FILE");
  return std::nullopt;
}

ExitCode exit_code(const Error& error) {
  switch (error.code()) {
    case Errc::invalid_argument: return exit_usage;
    case Errc::auth_failed:
    case Errc::refused: return exit_refused;
    case Errc::protocol_error: return exit_protocol;
    case Errc::connection_lost: return exit_lost;
    default: return exit_unreachable;
  }
}

int run(int argc, char** argv) {
  Arguments arguments;
  if (const auto code = parse(argc, argv, arguments)) return *code;
  if (Secret::from_base64(arguments.key))
    return complain("--key takes a file, and the token comes from standard input");
  // First, as the token is gone when it is seen too late that there is no place for the key.
  if (auto room = auth::check_new_own_key(arguments.key); !room) {
    return fail(exit_software, room.failure().code == Errc::in_use
                                   ? "'" + escaped(arguments.key) + "' is there already: give a new file"
                                   : room.failure().message);
  }
  const auto token = read_key_input(STDIN_FILENO, true);
  if (!token) return fail(exit_usage, token.failure().message);
  try {
    const Secret key = enrol(arguments.master, token->name, token->key, arguments.tls);
    const std::string kid = auth::kid(key);
    if (auto written = auth::write_own_key(arguments.key, token->name, key, false); !written) {
      return fail(exit_software, written.failure().message + "; the token is used up, and the key " + kid +
                                     " lost: remove it at the master, and invite again");
    }
    std::fprintf(stderr, "'%s' has the key %s, in '%s'\n", token->name.c_str(), kid.c_str(),
                 escaped(arguments.key).c_str());
    return exit_ok;
  } catch (const Error& error) {
    return fail(exit_code(error), error.what());
  }
}

}  // namespace

int run_enrol_program(int argc, char** argv) {
#ifdef __linux__
  // The token and the key are in no core file, and no other process of this user can read them here.
  ::prctl(PR_SET_DUMPABLE, 0);
#endif
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    return fail(exit_software, error.what());
  }
}

}  // namespace remsh
