// Accounts of this host.
#pragma once

#include "base/result.hpp"

#include <remsh/base/bytes.hpp>

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace remsh {

/// An account of this host.
struct UserAccount {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  ///< all of its groups
  Bytes home;
};

/// The account with this name; nullopt if there is none. Blocks: accounts may be in a directory service.
Result<std::optional<UserAccount>> find_user(const std::string& name);

/// Gives this thread, and no other, the rights of an account to files, instead of its own. It keeps them. False if it
/// may not: only root may.
bool take_rights_to_files(const UserAccount& account);

}  // namespace remsh
