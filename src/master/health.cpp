#include "master/health.hpp"

#include "base/format.hpp"
#include "base/seconds.hpp"

#include <remsh/base/error.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <utility>

namespace remsh {

namespace {

/// "900 bytes", "1.5 MiB".
std::string amount_in_words(std::uint64_t bytes) {
  constexpr std::uint64_t mebi = 1024 * 1024;
  if (bytes < mebi) return formatted("{} bytes", bytes);
  const std::uint64_t tenths = bytes / mebi * 10 + bytes % mebi * 10 / mebi;
  return formatted("{}.{} MiB", tenths / 10, tenths % 10);
}

std::string load_in_words(double load) {
  const auto hundredths = static_cast<std::uint64_t>(std::llround(load * 100));
  return formatted("{}.{:02}", hundredths / 100, hundredths % 100);
}

std::string time_in_words(std::chrono::nanoseconds time) {
  return in_seconds(std::chrono::ceil<std::chrono::milliseconds>(time));
}

/// Adds one thing that is wrong.
void add_fault(std::string& faults, const std::string& fault) { faults += (faults.empty() ? "" : ", ") + fault; }

}  // namespace

bool are_set(const HealthLimits& limits) noexcept {
  return limits.min_disk_free > 0 || limits.min_memory_available > 0 || limits.max_load_per_cpu > 0 ||
         limits.max_round_trip > std::chrono::milliseconds::zero() ||
         limits.max_clock_skew > std::chrono::milliseconds::zero();
}

void check_limits(const HealthLimits& limits) {
  constexpr double most_load = 1e6;
  const char* what = nullptr;
  if (!(limits.max_load_per_cpu >= 0 && limits.max_load_per_cpu <= most_load)) what = "max_load_per_cpu is no load";
  if (limits.max_round_trip < std::chrono::milliseconds::zero()) what = "max_round_trip is negative";
  if (limits.max_clock_skew < std::chrono::milliseconds::zero()) what = "max_clock_skew is negative";
  if (limits.interval <= std::chrono::milliseconds::zero()) what = "interval must be more than 0";
  constexpr std::chrono::milliseconds longest{1'000'000'000'000};  // that the clock can add
  if (std::max({limits.max_round_trip, limits.max_clock_skew, limits.interval}) > longest) {
    what = "a time is longer than 10^12 ms";
  }
  if (what != nullptr) {
    throw Error(Errc::invalid_argument, {}, "SlaveCollection", formatted("in the limits of health, {}", what));
  }
}

std::string why_unwell(const HostFacts& facts, const HealthLimits& limits) {
  std::string faults;
  if (facts.disk_free && *facts.disk_free < limits.min_disk_free) {
    add_fault(faults, formatted("free disk {}, less than {}", amount_in_words(*facts.disk_free),
                                amount_in_words(limits.min_disk_free)));
  }
  if (facts.memory_available && *facts.memory_available < limits.min_memory_available) {
    add_fault(faults, formatted("available memory {}, less than {}", amount_in_words(*facts.memory_available),
                                amount_in_words(limits.min_memory_available)));
  }
  if (facts.load1 && limits.max_load_per_cpu > 0) {
    const double load =
        static_cast<double>(*facts.load1) / 100 / static_cast<double>(std::max<std::uint64_t>(facts.cpus, 1));
    if (load > limits.max_load_per_cpu) {
      add_fault(faults, formatted("load {} for each CPU, more than {}", load_in_words(load),
                                  load_in_words(limits.max_load_per_cpu)));
    }
  }
  if (limits.max_round_trip > std::chrono::milliseconds::zero() && facts.round_trip > limits.max_round_trip) {
    add_fault(faults, formatted("round trip {}, more than {}", time_in_words(facts.round_trip),
                                time_in_words(limits.max_round_trip)));
  }
  const std::chrono::nanoseconds skew = std::chrono::abs(facts.clock_ahead);
  // No more of it than is certain.
  if (limits.max_clock_skew > std::chrono::milliseconds::zero() &&
      skew - facts.round_trip / 2 > limits.max_clock_skew) {
    add_fault(faults, formatted("clock {} {}, more than {}", time_in_words(skew),
                                facts.clock_ahead > std::chrono::nanoseconds::zero() ? "ahead" : "behind",
                                time_in_words(limits.max_clock_skew)));
  }
  return faults;
}

std::chrono::milliseconds patience_of(const HealthLimits& limits) noexcept {
  constexpr std::chrono::milliseconds least = std::chrono::seconds(10);
  return std::max({limits.interval, limits.max_round_trip, least});
}

std::string why_unwell_without_answer(const HealthLimits& limits) {
  if (limits.max_round_trip == std::chrono::milliseconds::zero()) return {};
  return formatted("no answer within {}, more than a round trip of {}", time_in_words(patience_of(limits)),
                   time_in_words(limits.max_round_trip));
}

}  // namespace remsh
