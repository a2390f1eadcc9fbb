// The operations on the slave as a whole: print, log_tail, operations, host_facts, shutdown.
#pragma once

#include "base/result.hpp"
#include "operations/operations.hpp"
#include "slave/dispatcher.hpp"
#include "slave/workplace.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace remsh {

/// What these operations need of the slave.
struct About {
  std::string software = {};
  std::function<void(const std::string& line)> print = {};  ///< writes a line into the log; called by any thread
  std::function<std::vector<std::string>(std::size_t lines)> log_tail = {};  ///< the last lines of the log
  std::function<Result<void>(const operations::Shutdown::Request&)> shut_down = {};
  std::vector<std::string> operations = {};  ///< set before the first call; `ping` is added
};

/// Adds these operations, for one session. docs/protocol.md section 7.
void add_about(Dispatcher& dispatcher, std::shared_ptr<const Workplace> workplace, std::shared_ptr<const About> about);

}  // namespace remsh
