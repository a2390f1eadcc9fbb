#include "report.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdio>

namespace remsh::bench {

namespace {

/// Three significant digits, and no exponent.
std::string figure(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", value >= 100 ? 0 : value >= 10 ? 1 : 2, value);
  return text;
}

std::string range(const Spread& spread) { return "(" + figure(spread.least) + ".." + figure(spread.most) + ")"; }

}  // namespace

double quantile(std::vector<double> values, double part) {
  assert(!values.empty());
  const auto at = std::min(values.size() - 1, static_cast<std::size_t>(part * static_cast<double>(values.size())));
  const auto found = values.begin() + static_cast<std::ptrdiff_t>(at);
  std::nth_element(values.begin(), found, values.end());
  return *found;
}

Spread spread_of(const std::vector<double>& values) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return {quantile(values, 0.5), *least, *most};
}

std::optional<Spread> Report::Line::ratio() const {
  if (limit.empty()) return std::nullopt;
  std::vector<double> ratios;
  for (std::size_t i = 0; i < limit.size(); ++i) {
    ratios.push_back(measure.better == Measure::Better::less ? ours[i] / limit[i] : limit[i] / ours[i]);
  }
  return spread_of(ratios);
}

bool Report::Line::is_over_goal() const {
  if (!measure.goal) return false;
  const auto compared = ratio();
  return (compared ? compared->median : spread_of(ours).median) > *measure.goal;
}

Report::Line& Report::line_of(const Measure& measure) {
  const auto line = std::find_if(lines_.begin(), lines_.end(), [&](const Line& old) { return old.measure == measure; });
  return line != lines_.end() ? *line : lines_.emplace_back(Line{measure, {}, {}});
}

void Report::add(const Measure& measure, double limit, double ours) {
  Line& line = line_of(measure);
  line.limit.push_back(limit);
  line.ours.push_back(ours);
}

void Report::add_alone(const Measure& measure, double ours) { line_of(measure).ours.push_back(ours); }

void Report::print() const {
  std::printf("%-44s %-13s %9s %9s %6s %15s %6s\n", "work", "figure", "limit", "ours", "xL", "(best..worst)", "goal");
  for (const Line& line : lines_) {
    const Spread ours = spread_of(line.ours);
    const auto ratio = line.ratio();
    const auto& goal = line.measure.goal;
    std::printf("%-44s %-13s %9s %9s %6s %15s %6s%s\n", line.measure.work.c_str(), line.measure.figure.c_str(),
                ratio ? figure(spread_of(line.limit).median).c_str() : "-", figure(ours.median).c_str(),
                ratio ? figure(ratio->median).c_str() : "-", range(ratio ? *ratio : ours).c_str(),
                goal ? figure(*goal).c_str() : "-", line.is_over_goal() ? "  over" : "");
  }
}

bool Report::is_complete(std::size_t lines, std::size_t rounds) const {
  const auto is_finite = [](double value) { return std::isfinite(value); };
  const auto is_figure = [](double value) { return std::isfinite(value) && value > 0; };
  return lines_.size() == lines && std::all_of(lines_.begin(), lines_.end(), [&](const Line& line) {
           if (line.ours.size() != rounds) return false;
           if (line.limit.empty()) return std::all_of(line.ours.begin(), line.ours.end(), is_finite);
           return line.limit.size() == rounds && std::all_of(line.limit.begin(), line.limit.end(), is_figure) &&
                  std::all_of(line.ours.begin(), line.ours.end(), is_figure);
         });
}

}  // namespace remsh::bench
