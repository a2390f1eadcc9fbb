// The environment of a command.
#pragma once

#include "operations/operations.hpp"
#include "os/user.hpp"

#include <remsh/base/bytes.hpp>

#include <vector>

namespace remsh {

/// The environment that this process has now, as NAME=value.
std::vector<Bytes> own_environment();

/// Our environment with what belongs to another account: HOME, USER, LOGNAME and PATH.
std::vector<Bytes> environment_for(std::vector<Bytes> ours, const UserAccount& user);

/// The environment of a command: `ours`, the changes that the request asks for, and the name that marks its processes.
std::vector<Bytes> environment_of(const std::vector<Bytes>& ours, const operations::Execute::Request& request,
                                  const Bytes& name);

}  // namespace remsh
