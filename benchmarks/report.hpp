// Report: the table of works, their limits, and how many times worse we are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace remsh::bench {

/// What a line of the table is about.
struct Measure {
  enum class Better : std::uint8_t { less, more };

  std::string work;    ///< "W1 stat, tcp @same"
  std::string figure;  ///< "p50 us"
  Better better = Better::less;
  std::optional<double> goal = {};  ///< how many times worse than the limit it may be; none: only shown

  friend bool operator==(const Measure&, const Measure&) = default;
};

/// Gathers limit and ours, round for round; gives medians. One thread at a time.
class Report {
 public:
  /// One round of a measure. The lines of the table are in the order of their first round.
  void add(const Measure& measure, double limit, double ours);

  /// The table. Medians of all rounds; the ratio is the median of the rounds' ratios, not the ratio of the medians.
  void print() const;

  /// False where a figure is missing or is none: not finite, or not above zero.
  [[nodiscard]] bool is_complete(std::size_t lines, std::size_t rounds) const;

 private:
  struct Line {
    Measure measure;
    std::vector<double> limit;
    std::vector<double> ours;
  };
  std::vector<Line> lines_;
};

/// The value that so great a part of the values is not above; values must not be empty.
double quantile(std::vector<double> values, double part);

}  // namespace remsh::bench
