// RemshMaster: what our masters of a fleet do on orders.
#pragma once

#include "fleet_parts.hpp"

#include <remsh/master.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace remsh::bench {

/// The keys of a fleet, which count for as long as what this returns.
[[nodiscard]] std::vector<KeyRegistration> register_fleet(KeyRing& keys, std::size_t count);

/// Does what fleet_parts.hpp says of the orders of a master. One thread at a time.
class RemshMaster {
 public:
  /// `count`: how many slaves the fleet will have.
  RemshMaster(const SlaveCollection& slaves, std::size_t count);

  /// Returns the answer.
  std::string obey(const FleetOrder& order);

 private:
  const SlaveCollection& slaves_;
  const std::size_t count_;
  std::size_t subject_ = 0;
  std::vector<Pending<std::optional<FileInfo>>> left_;  // calls for which nobody waits
};

}  // namespace remsh::bench
