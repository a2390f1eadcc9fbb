// set_builders: the directories of a master's builders.
#pragma once

#include "slave/dispatcher.hpp"
#include "slave/workplace.hpp"

#include <memory>

namespace remsh {

void add_builders(Dispatcher& dispatcher, std::shared_ptr<const Workplace> workplace);

}  // namespace remsh
