// Departures: what a collection remembers of slaves that have left.
#pragma once

#include <remsh/base/error.hpp>
#include <remsh/master/slave_notice.hpp>

#include <chrono>
#include <cstddef>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace remsh {

/// The last slave of a name, and how it left.
struct Departed {
  std::string name;
  std::string boot_id = {};
  std::string instance_id = {};
  std::chrono::system_clock::time_point when = {};
  std::optional<DisconnectReason> reason = {};  ///< nullopt: it was taken out of the collection
  std::string words = {};
};

/// What a slave with these ids is to one that has left; null: there was none.
[[nodiscard]] Incarnation incarnation_of(std::string_view boot_id, std::string_view instance_id,
                                         const Departed* before) noexcept;

/// The last slave of each name. Of too many names, those that left first are forgotten. One thread at a time.
class Departures {
 public:
  static constexpr std::size_t most = 16'384;

  /// Takes the place of what is remembered of the same name.
  void remember(Departed departed);

  /// Null if there is none.
  [[nodiscard]] const Departed* find(std::string_view name) const noexcept;

 private:
  std::list<Departed> by_time_;                                        // the one that left first is in front
  std::map<std::string_view, std::list<Departed>::iterator> by_name_;  // views of the names in the list
};

}  // namespace remsh
