#include "master/departures.hpp"

#include <utility>

namespace remsh {

std::string_view to_string(Incarnation incarnation) noexcept {
  switch (incarnation) {
    case Incarnation::first: return "first";
    case Incarnation::reconnected: return "reconnected";
    case Incarnation::restarted: return "restarted";
    case Incarnation::rebooted: return "rebooted";
    case Incarnation::unknown: return "unknown";
  }
  return "?";
}

Incarnation incarnation_of(std::string_view boot_id, std::string_view instance_id, const Departed* before) noexcept {
  if (before == nullptr) return Incarnation::first;
  if (boot_id.empty() || instance_id.empty() || before->boot_id.empty() || before->instance_id.empty()) {
    return Incarnation::unknown;
  }
  if (boot_id != before->boot_id) return Incarnation::rebooted;
  return instance_id == before->instance_id ? Incarnation::reconnected : Incarnation::restarted;
}

void Departures::remember(Departed departed) {
  std::list<Departed> made;
  made.push_back(std::move(departed));
  const auto at = by_name_.find(made.front().name);
  if (at != by_name_.end()) {
    const auto old = at->second;
    by_name_.erase(at);
    by_time_.erase(old);
  }
  by_name_.emplace(made.front().name, made.begin());
  by_time_.splice(by_time_.end(), made);  // iterators and names stay valid
  if (by_time_.size() <= most) return;
  by_name_.erase(by_time_.front().name);
  by_time_.pop_front();
}

const Departed* Departures::find(std::string_view name) const noexcept {
  const auto at = by_name_.find(name);
  return at == by_name_.end() ? nullptr : &*at->second;
}

}  // namespace remsh
