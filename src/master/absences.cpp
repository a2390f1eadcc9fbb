#include "master/absences.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace remsh {

void Absences::begin(std::string_view name, TimePoint now) {
  if (by_name_.find(name) != by_name_.end()) return;
  WaitingList made;
  made.push_back({std::string(name), now});
  by_name_.emplace(name, made.begin());
  waiting_.splice(waiting_.end(), made);  // the iterator stays valid
}

void Absences::end(std::string_view name) noexcept {
  const auto at = by_name_.find(name);
  if (at == by_name_.end()) return;
  if (at->second) waiting_.erase(*at->second);
  by_name_.erase(at);
}

void Absences::keep_only(const std::vector<std::string>& names) {
  for (auto at = by_name_.begin(); at != by_name_.end();) {
    const auto next = std::next(at);
    if (!std::binary_search(names.begin(), names.end(), at->first)) end(at->first);
    at = next;
  }
}

std::optional<std::string> Absences::take_due(TimePoint now) {
  if (waiting_.empty() || now - waiting_.front().since < timeout_) return std::nullopt;
  std::string name = std::move(waiting_.front().name);
  waiting_.pop_front();
  by_name_.find(name)->second = std::nullopt;
  return name;
}

std::optional<TimePoint> Absences::next_due() const {
  if (waiting_.empty()) return std::nullopt;
  const TimePoint since = waiting_.front().since;
  return timeout_ < TimePoint::max() - since ? since + timeout_ : TimePoint::max();
}

}  // namespace remsh
