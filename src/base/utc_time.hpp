// Points in time as text: in UTC, "2027-01-31T00:00:00Z", and for logs in local time.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace remsh {

/// Parses exactly that UTC form; nullopt for dates that do not exist or are outside the years 1970 to 2200.
std::optional<std::chrono::system_clock::time_point> parse_utc_time(std::string_view text);

/// In that UTC form; fractions of a second are dropped.
std::string to_utc_text(std::chrono::system_clock::time_point moment);

/// In local time: "2027-01-31T01:00:00+0100".
std::string to_local_text(std::chrono::system_clock::time_point moment);

}  // namespace remsh
