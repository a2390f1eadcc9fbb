// Target: the slave that runs an operation, and the workspace through which the operation was called.
#pragma once

#include "base/joined_stop.hpp"
#include "base/patience.hpp"
#include "master/backend.hpp"
#include "master/request.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/master/workspace.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

namespace remsh {

/// A path that begins in `directory`, unless it is absolute. Throws, with a message of `request`, if it is relative and
/// leads out of the directory.
Bytes path_in(const Bytes& directory, const Bytes& path, const Request& request);

/// The slave that runs an operation, and the workspace through which the operation was called, if any. Adds the
/// directory and the defaults of the workspace. Both must outlive it.
class Target {
 public:
  /// Throws if the workspace is that of a builder which was removed.
  Target(Backend& asked, const Workspace* in);

  /// The request with its paths as they are sent. An empty path stays empty and is refused as usual, unless it means
  /// the directory itself. Throws if a path leads out of the workspace.
  template <class Operation>
  [[nodiscard]] typename Operation::Request resolved(typename Operation::Request asked) const {
    if (workspace_ == nullptr) return asked;
    Resolver resolver{*this, Operation::what};
    if constexpr (requires { Operation::Request::describe(resolver, asked); }) {
      Operation::Request::describe(resolver, asked);
    }
    return asked;
  }

  /// The patience of a call with this deadline and stop of its own. `joined` must live as long as the call.
  [[nodiscard]] Patience patience(const CallDeadline& deadline, const std::stop_token& stop,
                                  std::unique_ptr<JoinedStop>& joined) const {
    const WorkspaceOptions* const more = defaults();
    if (more == nullptr) return {.deadline = deadline.begin(), .stop = stop};
    return {.deadline = (deadline.is_never() ? more->deadline : deadline).begin(),
            .stop = join(more->stop, stop, joined)};
  }

  /// The tag of a call; lives as long as the workspace and `own`.
  [[nodiscard]] const std::string& tag(const std::string& own) const noexcept {
    return own.empty() && workspace_ != nullptr ? workspace_->options().tag : own;
  }

  /// The name of the builder that the workspace belongs to; empty if there is none.
  [[nodiscard]] BytesView builder() const noexcept;

  /// What the workspace adds to each call; null if there is no workspace.
  [[nodiscard]] const WorkspaceOptions* defaults() const noexcept {
    return workspace_ != nullptr ? &workspace_->options() : nullptr;
  }

  Backend& slave;

 private:
  /// Visits the fields of a request, and changes those that are paths.
  struct Resolver {
    const Target& target;
    const operations::Description& what;

    void path(BytesView /*key*/, Bytes& value) const {
      if (!value.empty()) value = path_in(target.workspace_->path(), value, Request(target.slave, what, value));
    }
    void optional_path(BytesView key, Bytes& value) const {
      if (value.empty()) value = target.workspace_->path();
      path(key, value);
    }

    // These are not paths of a workspace: the path of set_cwd is the session's.
    void any_path(BytesView /*key*/, const auto& /*value*/) const {}
    void assignments(BytesView /*key*/, const auto& /*value*/) const {}
    void duration(BytesView /*key*/, const auto& /*value*/) const {}
    void flag(BytesView /*key*/, bool /*value*/) const {}
    void number(BytesView /*key*/, const auto& /*value*/, std::uint64_t /*min*/, std::uint64_t /*max*/) const {}
    void op(BytesView /*key*/, const auto& /*value*/) const {}
    void paths(BytesView /*key*/, const auto& /*value*/) const {}
    void optional_text(BytesView /*key*/, const auto& /*value*/) const {}
    void list(BytesView /*key*/, const auto& /*value*/) const {}
    void mode(BytesView /*key*/, const auto& /*value*/) const {}
    void names(BytesView /*key*/, const auto& /*value*/) const {}
    void patterns(BytesView /*key*/, const auto& /*value*/) const {}
    void log_files(BytesView /*key*/, const auto& /*value*/) const {}  // they begin in the command's directory
    void off_flag(BytesView /*key*/, bool /*value*/) const {}
    void optional_integer(BytesView /*key*/, const auto& /*value*/, std::int32_t /*min*/, std::int32_t /*max*/) const {}
    void optional_list(BytesView /*key*/, const auto& /*value*/) const {}
    void optional_number(BytesView /*key*/, const auto& /*value*/) const {}
    void optional_mode(BytesView /*key*/, const auto& /*value*/) const {}
    void optional_name(BytesView /*key*/, const auto& /*value*/) const {}
    void output(BytesView /*key*/, const auto& /*value*/, bool /*may_merge*/ = false) const {}
    void text(BytesView /*key*/, const auto& /*value*/) const {}
    void time_limit(BytesView /*key*/, const auto& /*value*/) const {}
  };

  const Workspace* const workspace_;  // null if there is none
};

}  // namespace remsh
