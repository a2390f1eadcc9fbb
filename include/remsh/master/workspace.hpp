// Workspace: a directory of a slave for one job, with defaults for the job's calls.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/base/export.hpp>
#include <remsh/master/slave_operations.hpp>

#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

namespace remsh {

class Slave;

/// What a Workspace adds to each call that is made through it.
struct WorkspaceOptions {
  /// Slave::workspace() makes the directory and its parents, if they are missing. If not, it makes no call for that,
  /// and operations fail as they do in any directory that is missing.
  bool make = true;

  /// Changes to the environment of commands, as ExecuteOptions::env. If a call names the same variable, the call's
  /// entry is used. ExecuteOptions::clear_env does not remove these.
  std::map<Bytes, std::optional<Bytes>> env = {};

  /// Used by calls without a deadline of their own. A duration counts from the beginning of each call.
  CallDeadline deadline = {};

  /// Ends every call of the workspace. A call that has a stop token of its own is ended by either.
  std::stop_token stop = {};

  /// Used by calls without a tag of their own.
  std::string tag = {};
};

/// A directory of a slave, in which the relative paths of all operations begin, and defaults for the options of all
/// calls. Slave::workspace() returns it. Two jobs on one slave do not disturb each other if each has one.
///
///     auto job = lease->workspace("build-17", {.deadline = 10min, .stop = cancel, .tag = "build 17"});
///     job->send(remsh::Source::file("project.tar"), "project.tar");
///     job->execute({"tar", "xf", "project.tar"});
///
/// A relative path that leads out of the directory, as `../other` and `a/../..` do, is refused with invalid_argument
/// before anything is sent, so a job leaves its directory only if it means to: absolute paths are used as they are.
/// This is a convenience, not a jail. Symbolic links are followed, a path is judged by its text alone, and a command
/// may use any file of the slave's user; a policy with a root is what confines a master.
///
/// Nothing on the slave knows of a workspace: if its directory is removed, operations fail until somebody makes it
/// again, for example by `job->mkdir(job->path())`. It and what is in it stay on the slave until somebody removes them.
///
/// Thread-safe. Keeps the Slave alive, as an operation that was started does, so a slave class must not keep a
/// workspace of its own slave in the slave's object. Knows nothing of leases: after the Lease of its slave has ended it
/// can still be used, although the slave may belong to another user by then.
class REMSH_API Workspace final : public SlaveOperations, public std::enable_shared_from_this<Workspace> {
 public:
  ~Workspace() override;

  /// The absolute path of the directory on the slave. It may contain `.` and symbolic links.
  [[nodiscard]] const Bytes& path() const noexcept { return path_; }

  [[nodiscard]] const WorkspaceOptions& options() const noexcept { return options_; }

 private:
  friend class Slave;
  Workspace(std::shared_ptr<Backend> backend, std::shared_ptr<Slave> slave, Bytes path, WorkspaceOptions options);
  [[nodiscard]] const Workspace* as_workspace() const noexcept override { return this; }

  const std::shared_ptr<Slave> slave_;
  const Bytes path_;
  const WorkspaceOptions options_;
};

}  // namespace remsh
