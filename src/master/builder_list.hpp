// BuilderList: the builders of one slave.
#pragma once

#include "master/builder_identity.hpp"

#include <remsh/master/builder.hpp>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace remsh {

/// The builders of one slave. Its members are used under the mutex, which Slave::set_builders() holds over its calls,
/// so that one set follows the other.
class BuilderList {
 public:
  struct Change {
    std::vector<std::shared_ptr<BuilderIdentity>> now = {};
    std::vector<std::string> removed = {};
  };

  /// Keeps those that have a spec, makes the missing ones, and marks the rest as removed.
  Change set(const std::vector<BuilderSpec>& specs);

  std::mutex mutex;

 private:
  std::vector<std::shared_ptr<BuilderIdentity>> all_;
};

}  // namespace remsh
