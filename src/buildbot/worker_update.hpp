// WorkerUpdate: what a command of a Buildbot worker tells while it runs, read from either protocol.
#pragma once

#include "base/result.hpp"
#include "buildbot/dialect.hpp"

#include <remsh/base/value.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace remsh::buildbot {

struct WorkerUpdate {
  enum class Kind : std::uint8_t {
    out,      ///< `text` of its standard output
    err,      ///< `text` of its standard error
    header,   ///< `text`: lines about it
    log,      ///< `text` of the log file `log`
    rc,       ///< `rc`: 0, an errno value, an exit code or -1: as the command has it
    elapsed,  ///< `seconds` that it took
    stat,     ///< `value`: what a path is
  };
  Kind kind = Kind::out;
  std::string text = {};
  std::string log = {};
  std::int64_t rc = 0;
  double seconds = 0;
  Value value = {};
};

/// The update with this name and value. nullopt if it is of no use here: its name is another one, or it has no number
/// where it should. Fails with protocol_error for output without its text.
Result<std::optional<WorkerUpdate>> read_update(Dialect dialect, std::string_view name, Value value);

}  // namespace remsh::buildbot
