// ContactCheck: whether a slave would be accepted by its master, and what to do if not.
#pragma once

#include "base/result.hpp"
#include "transport/address.hpp"

#include <remsh/base/deadline.hpp>
#include <remsh/slave/slave_server.hpp>

#include <optional>
#include <string>
#include <vector>

namespace remsh {

/// The result of a check of one master.
struct ContactCheck {
  std::vector<std::string> passed = {};  ///< what was found to be right, in order: "it resolves to 10.0.0.1:9876"
  std::optional<Failure> failure = {};   ///< what then went wrong; nullopt: nothing
  std::string advice = {};               ///< what to do about the failure
};

/// Looks up the address, connects, and proves and registers as a slave with these options would, except that the slave
/// does not appear at the master: the master answers with a refusal that says that the check was passed. The options
/// have the current key. Blocks until the deadline.
ContactCheck check_master(const Address& address, const SlaveOptions& options, Deadline deadline);

}  // namespace remsh
