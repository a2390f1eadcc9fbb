// run_slave_program, run_embedded_slave: this very program as a slave.
#pragma once

#include <remsh/base/export.hpp>
#include <remsh/slave/slave_server.hpp>

#include <functional>
#include <optional>

namespace remsh {

/// May add operations to a slave before it serves.
using PrepareSlave = std::function<void(SlaveServer&)>;

/// The whole of the program remsh-slave: its options, its log, its exit codes. For a slave program with operations of
/// its own. To be called from main(), before other threads are started: it takes SIGINT and SIGTERM for itself.
REMSH_API int run_slave_program(int argc, char** argv, const PrepareSlave& prepare = {});

/// First thing in main() of a program whose LocalSlaveListener has `embedded`: where this process was started to be a
/// slave it is one, and the exit code is given when that is over; else nothing happens.
///
///     int main(int argc, char** argv) {
///       if (auto code = remsh::run_embedded_slave(argc, argv)) return *code;
REMSH_API std::optional<int> run_embedded_slave(int argc, char** argv, const PrepareSlave& prepare = {});

}  // namespace remsh
