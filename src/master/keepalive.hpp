// Keepalive: how long either side of a connection may be silent, as a user changes it.
#pragma once

#include <remsh/base/deadline.hpp>
#include <remsh/base/error.hpp>

#include <algorithm>
#include <chrono>
#include <string>

namespace remsh {

struct Keepalive {
  Duration interval;  ///< of silence, before this side pings; 0: it neither pings nor gives the other one up
  Duration patience;  ///< how long it then waits
};

/// Limits the times to what the clock can add, and to what can be kept: if all slaves of a large fleet are due at once,
/// the last of them are looked at half a second later, and there must be time for the answer before the next look.
/// Throws Error with invalid_argument if one is negative.
inline Keepalive checked_keepalive(std::chrono::milliseconds interval, std::chrono::milliseconds patience,
                                   const std::string& slave) {
  constexpr std::chrono::milliseconds longest{1'000'000'000'000};
  if (interval.count() < 0 || patience.count() < 0) {
    throw Error(Errc::invalid_argument, slave, "set_keepalive", "a time is negative");
  }
  constexpr std::chrono::milliseconds shortest_patience{1500};
  return {std::min(interval, longest), std::clamp(patience, shortest_patience, longest)};
}

}  // namespace remsh
