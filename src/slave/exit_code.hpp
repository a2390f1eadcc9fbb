// ExitCode: how remsh-slave ends.
#pragma once

namespace remsh {

/// Stable: scripts and service managers decide by them.
enum ExitCode {
  exit_ok = 0,
  exit_usage = 64,
  exit_unreachable = 69,
  exit_software = 70,
  exit_lost = 75,
  exit_protocol = 76,
  exit_refused = 77
};

}  // namespace remsh
