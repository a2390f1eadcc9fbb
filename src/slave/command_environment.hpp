// The environment of a command.
#pragma once

#include "operations/operations.hpp"

#include <remsh/base/bytes.hpp>

#include <vector>

namespace remsh {

/// NAME=value: what this process has now.
std::vector<Bytes> own_environment();

/// What a command gets: `ours`, the changes that the request asks for, and the name by which its processes are found.
std::vector<Bytes> environment_of(const std::vector<Bytes>& ours, const operations::Execute::Request& request,
                                  const Bytes& name);

}  // namespace remsh
