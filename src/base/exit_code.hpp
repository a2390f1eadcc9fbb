// ExitCode: the exit codes of remsh-slave and every other slave program.
#pragma once

#include <remsh/base/error.hpp>

#include <array>
#include <string_view>

namespace remsh {

/// Stable: scripts and service managers depend on them.
enum ExitCode {
  exit_ok = 0,
  exit_usage = 64,
  exit_unreachable = 69,
  exit_software = 70,
  exit_lost = 75,
  exit_protocol = 76,
  exit_refused = 77
};

struct ExitMeaning {
  ExitCode code;
  std::string_view meaning;
};

/// All codes in ascending order; `remsh-slave --help` prints them, and docs/remsh-slave.md has the same table.
inline constexpr std::array exit_meanings{
    ExitMeaning{exit_ok, "done, or stopped: by a signal, the end of its input, a goodbye of the master, or by itself"},
    ExitMeaning{exit_usage, "wrong usage: an option, its value, or what standard input should have given"},
    ExitMeaning{exit_unreachable, "the master could not be reached"},
    ExitMeaning{exit_software, "it cannot work here: a file or a directory cannot be used, for example"},
    ExitMeaning{exit_lost, "the connection was lost"},
    ExitMeaning{exit_protocol, "the other side does not speak the protocol"},
    ExitMeaning{exit_refused, "the master refused it, or one side did not accept the other's proof"},
};

/// The exit code of a program that could not do its work with a master because of this.
constexpr ExitCode exit_code_of(Errc code) noexcept {
  switch (code) {
    case Errc::invalid_argument: return exit_usage;
    case Errc::auth_failed:
    case Errc::refused: return exit_refused;
    case Errc::protocol_error: return exit_protocol;
    case Errc::connection_lost: return exit_lost;
    default: return exit_unreachable;
  }
}

/// True for the exit codes that a slave program itself uses for errors.
constexpr bool is_error_of_slave(int code) noexcept {
  for (const ExitMeaning& one : exit_meanings) {
    if (one.code == code && code != exit_ok) return true;
  }
  return false;
}

}  // namespace remsh
