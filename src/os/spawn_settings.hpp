// SpawnSettings: with what a program begins, beyond its descriptors and its directory.
#pragma once

#include <remsh/base/bytes.hpp>

#include <sys/resource.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace remsh {

/// One limit of setrlimit().
struct LimitSetting {
  int resource = 0;  ///< RLIMIT_...
  rlimit limit{};
  std::string name = {};  ///< for messages
};

/// The rights of an account.
struct UserRights {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups = {};
};

/// What is set between the birth of a child and its program. Each is left as it is with us if it is not set.
struct SpawnSettings {
  std::optional<int> nice = {};  ///< added to ours
  std::optional<mode_t> umask = {};
  std::vector<LimitSetting> limits = {};
  std::optional<UserRights> user = {};  ///< the program also owns its standard descriptors, so that it can open them
  bool terminal = false;                ///< its standard input becomes the controlling terminal of its session
  int group = -1;                       ///< ControlGroup::entrance() of its control group; -1: it stays in ours

  [[nodiscard]] bool empty() const noexcept {
    return !nice && !umask && limits.empty() && !user && !terminal && group < 0;
  }
};

}  // namespace remsh
