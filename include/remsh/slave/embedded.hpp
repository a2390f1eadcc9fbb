// run_slave_program, run_embedded_slave: run this program as a slave.
#pragma once

#include <remsh/base/export.hpp>
#include <remsh/base/log.hpp>
#include <remsh/slave/slave_server.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace remsh {

/// May add operations to a slave before it serves.
using PrepareSlave = std::function<void(SlaveServer&)>;

/// Options of a slave program, in addition to those of its slave. Every member has a default.
struct SlaveProgramOptions {
  /// The address of the master, as for SlaveServer::run(). Empty: the master is the program that started this one,
  /// connected by standard input and output; the slave program ends with them.
  std::string master = {};

  /// Further masters, which are tried in turn: see SlaveServer::run().
  std::vector<std::string> other_masters = {};

  /// Options of the slave. Without a `log` hook it logs to standard error.
  SlaveOptions slave = {};

  bool once = false;       ///< connect only once, and end when that connection ends
  bool until_eof = false;  ///< end when standard input ends; its content is ignored
  bool key_from_input =
      false;  ///< read the line `NAME KEY` from standard input instead of slave.key and slave.key_file
  std::chrono::milliseconds drain_time{5000};  ///< after SIGTERM, how long what runs may go on

  /// Where the program starts again, if its master wants that (Slave::restart()): the directory in which it was
  /// started, if it has changed to another one since. Empty: the current one.
  std::string restart_in = {};

  // The log, unless slave.log is set. Standard error, in lines as journald wants them if it leads there.
  LogLevel log_level = LogLevel::info;        ///< write records of this level and above
  bool trace = false;                         ///< write every box, unless slave.trace is set
  std::string log_file = {};                  ///< write to this file instead, which is made if it is missing
  std::uint64_t log_size = 10 * 1024 * 1024;  ///< a file that would have more bytes is renamed; 0: never
  unsigned log_keep = 5;                      ///< how many such files, FILE.1 (the newest) and so on, are kept
  bool log_json = false;                      ///< each line is an object of JSON

  /// Called on SIGHUP, in a thread of its own. Of the options that it returns, `master`, `other_masters` and
  /// `log_level` count from now on. If it throws, nothing changes, and the log has its message. `log` writes to the
  /// log.
  std::function<SlaveProgramOptions(const LogHook& log)> reload = {};
};

/// Makes this process a slave and serves until it is stopped. With `once` or without a `master`, it also ends with its
/// connection. Does what `remsh-slave` does, without a command line: for a slave program with its own operations and
/// options. Returns the exit code; docs/remsh-slave.md explains the codes. Throws Error with invalid_argument if the
/// options are invalid.
///
///     int main() {
///       return remsh::run_slave_program({.master = "tls:farm.example.org:9876", .slave = {.key_file = "w1.key"}},
///                                       [](remsh::SlaveServer& server) { server.add_operation("deploy", deploy); });
///     }
///
/// The function goes on in a child of this process. The process itself becomes the supervisor: it passes signals on,
/// ends as the child ends, and kills what the slave has started if the child is killed. A program that has other
/// threads is not divided, and the log has a warning.
///
/// Call it from main(), before other threads are started: it takes SIGINT, SIGTERM and SIGHUP, and adopts the orphans
/// of commands. SIGTERM is SlaveServer::drain() with `drain_time`, and ends it at once if it comes again. SIGINT ends
/// it at once. On SIGHUP, it opens its log file again and reloads its options, and a slave that waits before it
/// reconnects reads its key file and connects at once; if the program has a terminal, `once`, or no `master`, SIGHUP
/// ends it. It tells systemd when it is ready, what it does and that it is alive, if that wants to know (sd_notify(3)).
REMSH_API int run_slave_program(SlaveProgramOptions options, const PrepareSlave& prepare = {});

/// The first argument of a program that run_embedded_slave() makes a slave. LocalSlaveListener and SlaveLauncher pass
/// it if `embedded` is set. If `command` starts such a program, end the command with this argument: {"ssh", "HOST",
/// "my-slave", remsh::embedded_slave_argument}.
inline constexpr const char* embedded_slave_argument = "--remsh-embedded-slave";

/// Call this first in main() of a program that listeners start as a slave. If this process was started as a slave, it
/// serves its master and returns the exit code; otherwise it returns nullopt at once.
///
///     int main(int argc, char** argv) {
///       if (auto code = remsh::run_embedded_slave(argc, argv)) return *code;
REMSH_API std::optional<int> run_embedded_slave(int argc, char** argv, const PrepareSlave& prepare = {});

}  // namespace remsh
