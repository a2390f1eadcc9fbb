// The rule of a slave's health. Pure.
#pragma once

#include <remsh/master/health_limits.hpp>
#include <remsh/operations/host_facts.hpp>

#include <chrono>
#include <string>

namespace remsh {

/// Whether any limit is set.
[[nodiscard]] bool are_set(const HealthLimits& limits) noexcept;

/// Throws Error (invalid_argument) unless the limits make sense.
void check_limits(const HealthLimits& limits);

/// Why a slave is not well, for people: each figure that is beyond its limit, and the limit. Empty if it is well.
[[nodiscard]] std::string why_unwell(const HostFacts& facts, const HealthLimits& limits);

/// How long a slave may take to answer.
[[nodiscard]] std::chrono::milliseconds patience_of(const HealthLimits& limits) noexcept;

/// The same as why_unwell() for a slave that has not answered within this time; empty if that does not matter.
[[nodiscard]] std::string why_unwell_without_answer(const HealthLimits& limits);

}  // namespace remsh
