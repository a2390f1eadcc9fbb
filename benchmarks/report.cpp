#include "report.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdio>

namespace remsh::bench {

namespace {

double median(const std::vector<double>& values) { return quantile(values, 0.5); }

/// Three significant digits, and no exponent.
std::string figure(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", value >= 100 ? 0 : value >= 10 ? 1 : 2, value);
  return text;
}

}  // namespace

double quantile(std::vector<double> values, double part) {
  assert(!values.empty());
  const auto at = std::min(values.size() - 1, static_cast<std::size_t>(part * static_cast<double>(values.size())));
  const auto found = values.begin() + static_cast<std::ptrdiff_t>(at);
  std::nth_element(values.begin(), found, values.end());
  return *found;
}

void Report::add(const Measure& measure, double limit, double ours) {
  auto line = std::find_if(lines_.begin(), lines_.end(), [&](const Line& old) { return old.measure == measure; });
  if (line == lines_.end()) line = lines_.insert(line, Line{measure, {}, {}});
  line->limit.push_back(limit);
  line->ours.push_back(ours);
}

void Report::print() const {
  std::printf("%-30s %-10s %9s %9s %6s %13s %6s\n", "work", "figure", "limit", "ours", "xL", "(best..worst)", "goal");
  for (const Line& line : lines_) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < line.limit.size(); ++i) {
      ratios.push_back(line.measure.better == Measure::Better::less ? line.ours[i] / line.limit[i]
                                                                    : line.limit[i] / line.ours[i]);
    }
    const auto [best, worst] = std::minmax_element(ratios.begin(), ratios.end());
    const double ratio = median(ratios);
    const auto& goal = line.measure.goal;
    std::printf("%-30s %-10s %9s %9s %6.2f %13s %6s%s\n", line.measure.work.c_str(), line.measure.figure.c_str(),
                figure(median(line.limit)).c_str(), figure(median(line.ours)).c_str(), ratio,
                (figure(*best) + ".." + figure(*worst)).c_str(), goal ? figure(*goal).c_str() : "-",
                goal && ratio > *goal ? "  over" : "");
  }
}

bool Report::is_complete(std::size_t lines, std::size_t rounds) const {
  const auto is_figure = [](double value) { return std::isfinite(value) && value > 0; };
  return lines_.size() == lines && std::all_of(lines_.begin(), lines_.end(), [&](const Line& line) {
           return line.limit.size() == rounds && std::all_of(line.limit.begin(), line.limit.end(), is_figure) &&
                  std::all_of(line.ours.begin(), line.ours.end(), is_figure);
         });
}

}  // namespace remsh::bench
