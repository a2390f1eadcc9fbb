// The report as JSON, for programs that compare runs.
#pragma once

#include "report.hpp"

#include <cstddef>
#include <optional>
#include <string>

namespace remsh::bench {

/// What the figures of a run are to be judged by.
struct RunState {
  std::size_t rounds = 0;
  std::size_t cpus = 0;
  std::optional<double> used_by_others = {};  ///< part of the CPUs
};

/// Writes a file: the state of the run, and an object for each line of the table. Throws if it cannot be written.
void write_json(const Report& report, const RunState& state, const std::string& path);

}  // namespace remsh::bench
