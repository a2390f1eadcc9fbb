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
  std::optional<double> goal = {};  ///< how many times worse than the limit it may be; without a limit, how much it may
                                    ///< be; none: only shown

  friend bool operator==(const Measure&, const Measure&) = default;
};

/// The median of several rounds, and how far they spread.
struct Spread {
  double median;
  double least;
  double most;
};

/// Gathers limit and ours, round for round, and returns medians. One thread at a time.
class Report {
 public:
  /// What is known of one line of the table.
  struct Line {
    Measure measure;
    std::vector<double> limit;  ///< empty if there is none
    std::vector<double> ours;

    /// How many times worse ours is than the limit of the same round, over all rounds; the median is that of the
    /// rounds' ratios, not the ratio of the medians. nullopt without a limit.
    [[nodiscard]] std::optional<Spread> ratio() const;

    [[nodiscard]] bool is_over_goal() const;
  };

  /// One round of a measure. The lines of the table are in the order of their first round.
  void add(const Measure& measure, double limit, double ours);

  /// One round of a measure that has no limit to be compared with.
  void add_alone(const Measure& measure, double ours);

  [[nodiscard]] const std::vector<Line>& lines() const noexcept { return lines_; }

  /// The table.
  void print() const;

  /// False if a figure is missing, or one that is compared is not finite or not above zero.
  [[nodiscard]] bool is_complete(std::size_t lines, std::size_t rounds) const;

 private:
  Line& line_of(const Measure& measure);

  std::vector<Line> lines_;
};

/// The value that so great a part of the values is not above; values must not be empty.
double quantile(std::vector<double> values, double part);

/// Values must not be empty.
Spread spread_of(const std::vector<double>& values);

}  // namespace remsh::bench
