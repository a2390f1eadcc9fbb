// name_starts_with: a filter of slaves by their names.
#pragma once

#include <remsh/master/slave.hpp>
#include <remsh/master/slave_collection.hpp>

#include <string>
#include <utility>

namespace remsh::test {

inline SlaveFilter name_starts_with(std::string prefix) {
  return [prefix = std::move(prefix)](const Slave& slave) { return slave.name().starts_with(prefix); };
}

}  // namespace remsh::test
