// Control groups (cgroup v2): limits for all processes of a command together.
#pragma once

#include "base/result.hpp"
#include "os/unique_fd.hpp"

#include <remsh/base/bytes.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace remsh {

/// What all processes of a group may use together.
struct ControlGroupLimits {
  std::optional<std::uint64_t> memory = {};     ///< bytes, without any swap; beyond it the system ends all of the group
  std::optional<std::uint64_t> processes = {};  ///< and threads, at a time; beyond it none can be started
  std::optional<std::uint64_t> cpu = {};        ///< thousandths of one CPU

  [[nodiscard]] bool empty() const noexcept { return !memory && !processes && !cpu; }
};

/// A group of processes with limits. It is removed with this object, or, if there are still processes in it, when
/// another group is made after they have ended.
class ControlGroup {
 public:
  ControlGroup(ControlGroup&&) noexcept = default;
  ControlGroup& operator=(ControlGroup&&) = delete;
  ~ControlGroup();

  /// A process that writes "0" to this descriptor enters the group; its children will be in it, too.
  [[nodiscard]] int entrance() const noexcept { return entrance_.get(); }
  void close_entrance() noexcept { entrance_.reset(); }

  /// Whether the group has a limit of memory, and the system has ended processes because they reached it.
  [[nodiscard]] bool ran_out_of_memory() const;

  /// Whether the group has a limit of processes, and one of its processes could not start another. A limit of a group
  /// above has the same effect.
  [[nodiscard]] bool ran_out_of_processes() const;

 private:
  friend class ControlGroups;
  struct Base;
  ControlGroup(std::shared_ptr<Base> base, Bytes name) : base_(std::move(base)), name_(std::move(name)) {}

  std::shared_ptr<Base> base_;  // null in an object that was moved from
  Bytes name_;
  UniqueFd entrance_;
  UniqueFd memory_events_;  // if there is such a limit; open, as there may be no free descriptor in the end
  UniqueFd process_events_;
};

/// Makes groups below one group. Thread-safe.
class ControlGroups {
 public:
  /// Below the group of this process: the same for all callers. Fails if the system has no cgroup v2.
  static Result<ControlGroups> of_this_process();

  /// Below the group whose directory this is.
  static Result<ControlGroups> in(const std::string& directory);

  /// Makes a group with these limits, which are not empty. Fails if this process may not, or if the system cannot bound
  /// one of them here.
  ///
  /// The system lets a group have either processes or limits for groups below it. So if there are processes in ours,
  /// and all of them belong to this slave, they move to a group below it, "remsh-slave-processes".
  [[nodiscard]] Result<ControlGroup> make(const ControlGroupLimits& limits) const;

 private:
  explicit ControlGroups(std::shared_ptr<ControlGroup::Base> base) : base_(std::move(base)) {}

  std::shared_ptr<ControlGroup::Base> base_;
};

}  // namespace remsh
