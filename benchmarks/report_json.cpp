#include "report_json.hpp"

#include "machine.hpp"

#include <cmath>
#include <cstdio>
#include <fstream>
#include <ostream>
#include <string_view>

namespace remsh::bench {

namespace {

/// The names of works and figures need no escapes.
std::string json_word(std::string_view text) { return '"' + std::string(text) + '"'; }

std::string json_number(double value) {
  if (!std::isfinite(value)) return "null";
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

std::string json_spread(const Spread& spread) {
  return "{\"median\": " + json_number(spread.median) + ", \"least\": " + json_number(spread.least) +
         ", \"most\": " + json_number(spread.most) + "}";
}

void write_line(std::ostream& out, const Report::Line& line) {
  const Measure& measure = line.measure;
  out << "    {\"work\": " << json_word(measure.work) << ", \"figure\": " << json_word(measure.figure)
      << ", \"better\": " << json_word(measure.better == Measure::Better::less ? "less" : "more")
      << ", \"ours\": " << json_spread(spread_of(line.ours));
  if (const auto ratio = line.ratio()) {
    out << ", \"limit\": " << json_spread(spread_of(line.limit)) << ", \"times_worse\": " << json_spread(*ratio);
  }
  if (measure.goal) {
    out << ", \"goal\": " << json_number(*measure.goal) << ", \"over\": " << (line.is_over_goal() ? "true" : "false");
  }
  out << "}";
}

}  // namespace

void write_json(const Report& report, const RunState& state, const std::string& path) {
  std::ofstream out(path);
  out << "{\n  \"rounds\": " << state.rounds << ",\n  \"cpus\": " << state.cpus;
  if (state.used_by_others) out << ",\n  \"used_by_others\": " << json_number(*state.used_by_others);
  out << ",\n  \"lines\": [";
  const char* between = "\n";
  for (const Report::Line& line : report.lines()) {
    out << between;
    write_line(out, line);
    between = ",\n";
  }
  out << "\n  ]\n}\n";
  if (!out.flush()) fail("cannot write " + path);
}

}  // namespace remsh::bench
