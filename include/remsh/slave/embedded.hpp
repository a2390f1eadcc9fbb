// run_embedded_slave: this very program as a slave, for LocalSlaveListener with `embedded`.
#pragma once

#include <remsh/base/export.hpp>
#include <remsh/slave/slave_server.hpp>

#include <functional>
#include <optional>

namespace remsh {

/// First thing in main(): where this process was started to be a slave it is one, and the exit code is given when that
/// is over; else nothing happens.
///
///     int main(int argc, char** argv) {
///       if (auto code = remsh::run_embedded_slave(argc, argv)) return *code;
///
/// `prepare` may add operations.
REMSH_API std::optional<int> run_embedded_slave(int argc, char** argv,
                                                const std::function<void(SlaveServer&)>& prepare = {});

}  // namespace remsh
