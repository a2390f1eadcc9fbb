// run_slave_program, run_embedded_slave: this very program as a slave.
#pragma once

#include <remsh/base/export.hpp>
#include <remsh/base/log.hpp>
#include <remsh/slave/slave_server.hpp>

#include <functional>
#include <optional>
#include <string>

namespace remsh {

/// May add operations to a slave before it serves.
using PrepareSlave = std::function<void(SlaveServer&)>;

/// What a slave program does, beside what SlaveOptions say of the slave in it. Every member has a default.
struct SlaveProgramOptions {
  /// Its master, as SlaveServer::run() takes it. Empty: the program that started this one, over standard input and
  /// output, until they end.
  std::string master = {};

  /// The slave. Without a `log` hook it logs to standard error.
  SlaveOptions slave = {};

  bool once = false;            ///< connect once, and end with that connection
  bool until_eof = false;       ///< end when standard input ends; what comes by it is dropped
  bool key_from_input = false;  ///< standard input gives the line `NAME KEY`, in place of slave.key and slave.key_file
  LogLevel log_level = LogLevel::info;  ///< what standard error shows: records of this level and above
  bool trace = false;                   ///< every box goes to standard error, unless slave.trace is set
};

/// Makes this process a slave, and serves until it is stopped or has nothing to connect to any more. It does what
/// `remsh-slave` does, without a command line: for a slave program with operations and options of its own. Returns the
/// exit code; docs/remsh-slave.md says what each means. Throws Error with invalid_argument if the options cannot be.
///
///     int main() {
///       return remsh::run_slave_program({.master = "tls:farm.example.org:9876", .slave = {.key_file = "w1.key"}},
///                                       [](remsh::SlaveServer& server) { server.add_operation("deploy", deploy); });
///     }
///
/// Call it from main(), before other threads are started: it takes SIGINT, SIGTERM and SIGHUP, and adopts the orphans
/// of commands. SIGHUP makes a slave that waits read its key file and connect now; if the program has a terminal,
/// `once`, or no `master`, SIGHUP ends it.
REMSH_API int run_slave_program(SlaveProgramOptions options, const PrepareSlave& prepare = {});

/// The first argument of a program that is to be a slave in run_embedded_slave(). LocalSlaveListener and SlaveLauncher
/// with `embedded` give it to the program that they start. If `command` starts such a program, end it with this word:
/// {"ssh", "HOST", "my-slave", remsh::embedded_slave_argument}.
inline constexpr const char* embedded_slave_argument = "--remsh-embedded-slave";

/// Call this first in main() of a program that listeners start as a slave. If this process was started as one, it
/// serves its master and returns the exit code; else it returns nullopt at once.
///
///     int main(int argc, char** argv) {
///       if (auto code = remsh::run_embedded_slave(argc, argv)) return *code;
REMSH_API std::optional<int> run_embedded_slave(int argc, char** argv, const PrepareSlave& prepare = {});

}  // namespace remsh
