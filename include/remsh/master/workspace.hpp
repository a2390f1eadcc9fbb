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
struct BuilderIdentity;

/// What a Workspace adds to each call that is made through it.
struct WorkspaceOptions {
  /// Slave::workspace() makes the directory and its parents if they are missing. If false, it does not, and operations
  /// fail as in any missing directory.
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
/// before anything is sent. Absolute paths are used as they are. This is a convenience, not a jail. Symbolic links are
/// followed, only the text of a path is checked, and a command may use any file of the slave's user. To confine a
/// master, use a SlavePolicy with a root.
///
/// The slave does not know about workspaces: if the directory is removed, operations fail until it is made again, for
/// example by `job->mkdir(job->path())`. The directory and its contents stay on the slave until they are removed.
///
/// Thread-safe. It keeps the Slave alive, like an operation that was started, so a slave class must not store a
/// workspace of its own slave in the slave's object. It is independent of leases: it can still be used after the Lease
/// of its slave has ended, although the slave may then belong to another user.
class REMSH_API Workspace : public SlaveOperations, public std::enable_shared_from_this<Workspace> {
 public:
  ~Workspace() override;

  /// The absolute path of the directory on the slave. It may contain `.` and symbolic links.
  [[nodiscard]] const Bytes& path() const noexcept { return path_; }

  [[nodiscard]] const WorkspaceOptions& options() const noexcept { return options_; }

 private:
  friend class Builder;
  friend class Slave;
  friend class Target;
  Workspace(std::shared_ptr<Backend> backend, std::shared_ptr<Slave> slave, Bytes path, WorkspaceOptions options,
            std::shared_ptr<BuilderIdentity> builder = nullptr);
  [[nodiscard]] const Workspace* as_workspace() const noexcept final { return this; }
  [[nodiscard]] const std::shared_ptr<Slave>& slave() const noexcept { return slave_; }
  [[nodiscard]] const std::shared_ptr<BuilderIdentity>& identity() const noexcept { return builder_; }

  const std::shared_ptr<Slave> slave_;
  const Bytes path_;
  const WorkspaceOptions options_;
  const std::shared_ptr<BuilderIdentity> builder_;  // null if it is of no builder
};

}  // namespace remsh
