// BuilderIdentity: one builder of a slave, as its handles and its set share it.
#pragma once

#include <remsh/base/bytes.hpp>

#include <atomic>
#include <string>
#include <utility>

namespace remsh {

/// One builder of a slave, shared by its handles, the workspaces of its builds, and the set that it is in. Thread-safe.
struct BuilderIdentity {
  BuilderIdentity(std::string builder, Bytes where) : name(std::move(builder)), directory(std::move(where)) {}

  const std::string name;
  const Bytes directory;  ///< relative to the base directory of the slave
  std::atomic<bool> is_removed = false;
};

}  // namespace remsh
