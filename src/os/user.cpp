#include "os/user.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "os/file.hpp"

#include <grp.h>
#include <pwd.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <mutex>

namespace remsh {

namespace {

/// All groups of an account; empty if they cannot be found.
std::vector<gid_t> groups_of(const std::string& name, gid_t first) {
  constexpr std::size_t most_groups = 65536;
  for (std::size_t size = 64; size <= most_groups; size *= 4) {
    std::vector<gid_t> groups(size);
    int count = static_cast<int>(size);
    if (::getgrouplist(name.c_str(), first, groups.data(), &count) < 0) continue;
    groups.resize(static_cast<std::size_t>(count));
    return groups;
  }
  return {};
}

}  // namespace

Result<std::optional<UserAccount>> find_user(const std::string& name) {
  constexpr std::size_t most = std::size_t{1024} * 1024;
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(4096);
  int error = 0;
  do {
    error = ::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (error == ERANGE) buffer.resize(buffer.size() * 4);
  } while (error == EINTR || (error == ERANGE && buffer.size() <= most));
  if (found == nullptr) {
    const bool is_missing = error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM;
    if (is_missing) return std::optional<UserAccount>();
    return os_failure(error, "user " + in_quotes(name));
  }
  UserAccount account{.name = found->pw_name,
                      .uid = found->pw_uid,
                      .gid = found->pw_gid,
                      .groups = groups_of(name, found->pw_gid),
                      .home = found->pw_dir};
  if (account.groups.empty())
    return Failure{Errc::remote_failure, formatted("the groups of user {}", in_quotes(name)), 0};
  return std::optional(std::move(account));
}

bool take_rights_to_files(const UserAccount& account) {
#if defined(SYS_setgroups32)
  constexpr long set_groups = SYS_setgroups32;
#else
  constexpr long set_groups = SYS_setgroups;
#endif
  // setgroups() itself would change all threads. The user id for files is not the one by which the account could send
  // signals to this thread.
  if (::syscall(set_groups, account.groups.size(), account.groups.data()) != 0) return false;
  static std::mutex only_one;  // the state of the process that the next calls change, and that is set back
  const std::lock_guard lock(only_one);
  const int dumps = ::prctl(PR_GET_DUMPABLE);  // the next calls change it, for the whole process
  ::setfsgid(account.gid);
  ::setfsuid(account.uid);
  if (dumps == 1) ::prctl(PR_SET_DUMPABLE, 1);
  constexpr auto none = static_cast<uid_t>(-1);
  return static_cast<uid_t>(::setfsuid(none)) == account.uid && static_cast<gid_t>(::setfsgid(none)) == account.gid;
}

}  // namespace remsh
