// Absences: since when slaves that are expected are absent, and which of them have been absent for too long.
#pragma once

#include <remsh/base/deadline.hpp>

#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace remsh {

/// The names that are absent, and since when. Each absence is due once, when it has lasted for a time that is the same
/// for all. Pure: times are inputs, and must not decrease. One thread at a time.
class Absences {
 public:
  explicit Absences(Duration timeout) : timeout_(timeout) {}

  /// The name is absent from now on. Does nothing if it is absent already.
  void begin(std::string_view name, TimePoint now);

  /// The name is not absent any more, or is not expected.
  void end(std::string_view name) noexcept;

  /// Ends the absences of all names that are not among these, which ascend.
  void keep_only(const std::vector<std::string>& names);

  /// An absence that has become due, and was not returned before; nullopt if there is none. It goes on.
  [[nodiscard]] std::optional<std::string> take_due(TimePoint now);

  /// When the next absence becomes due; nullopt if none will.
  [[nodiscard]] std::optional<TimePoint> next_due() const;

 private:
  struct Waiting {
    std::string name;
    TimePoint since;
  };
  using WaitingList = std::list<Waiting>;

  const Duration timeout_;
  WaitingList waiting_;  // that are not due yet; the one that began first is in front
  std::map<std::string, std::optional<WaitingList::iterator>, std::less<>> by_name_;  // nullopt: it was due
};

}  // namespace remsh
