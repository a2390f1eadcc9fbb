#include "base/utc_time.hpp"

#include "base/format.hpp"

#include <array>
#include <cstddef>
#include <ctime>

namespace remsh {

namespace {

constexpr std::string_view form = "0000-00-00T00:00:00Z";
constexpr int last_year = 2200;  // well before a 64-bit clock of nanoseconds overflows

}  // namespace

std::optional<std::chrono::system_clock::time_point> parse_utc_time(std::string_view text) {
  using namespace std::chrono;
  if (text.size() != form.size()) return std::nullopt;
  std::array<int, 6> numbers{};  // from year to second
  std::size_t number = 0;
  for (std::size_t i = 0; i < form.size(); ++i) {
    if (form[i] != '0') {
      if (text[i] != form[i]) return std::nullopt;
      ++number;
    } else {
      if (text[i] < '0' || text[i] > '9') return std::nullopt;
      numbers[number] = numbers[number] * 10 + (text[i] - '0');
    }
  }
  const auto& [y, mo, d, h, mi, s] = numbers;
  const year_month_day date{year(y), month(static_cast<unsigned>(mo)), day(static_cast<unsigned>(d))};
  if (!date.ok() || y < 1970 || y > last_year || h > 23 || mi > 59 || s > 59) return std::nullopt;
  return sys_days(date) + hours(h) + minutes(mi) + seconds(s);
}

std::string to_utc_text(std::chrono::system_clock::time_point moment) {
  using namespace std::chrono;
  const auto midnight = floor<days>(moment);
  const year_month_day date(midnight);
  const hh_mm_ss time(floor<seconds>(moment - midnight));
  return formatted("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                   static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), time.hours().count(),
                   time.minutes().count(), time.seconds().count());
}

std::string to_local_text(std::chrono::system_clock::time_point moment) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(moment);
  std::tm local{};
  std::array<char, 32> text{};
  if (::localtime_r(&seconds, &local) == nullptr) return {};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S%z", &local)};
}

}  // namespace remsh
