// PbBuilders: which command of a Buildbot worker has which of its builders, over Perspective Broker; no I/O.
#pragma once

#include "base/result.hpp"
#include "buildbot/banana.hpp"
#include "buildbot/worker_command.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace remsh::buildbot {

/// A worker runs one command for each of its builders: a second one ends the first. So each command has a builder to
/// itself while it runs, and more of them are made when they are needed. All have the worker's own directory.
class PbBuilders {
 public:
  struct Waiting {
    std::uint64_t request;
    std::string id;
    WorkerCommand command;
  };
  struct Begun {
    std::int64_t builder;  ///< the worker's object
    Waiting command;
  };

  /// Adds one, and returns the list of all that are wanted, as the worker takes it: it drops those that are not in it.
  Expression add();

  /// The worker has answered what it was sent last.
  Result<void> take(const Expression& dictionary);

  void wait(Waiting command) { waiting_.push_back(std::move(command)); }
  /// Gives a free builder to the command that has waited longest. nullopt if there is no such builder or command.
  std::optional<Begun> next();
  /// Whether commands wait, and the worker may have more builders.
  [[nodiscard]] bool needs_more() const noexcept;

  /// If the command waits, it does not wait any more, and its request is returned.
  std::optional<std::uint64_t> drop(const std::string& id);
  /// The builder of a command that runs.
  [[nodiscard]] std::optional<std::int64_t> of(const std::string& id) const;
  /// The command is over.
  void free(const std::string& id);

  /// One that exists, for a request that concerns none in particular.
  [[nodiscard]] std::int64_t any() const { return builders_.front().object; }

 private:
  struct Builder {
    std::int64_t object = 0;   // 0: the worker has not made it yet
    std::string command = {};  // that runs; empty: none
  };

  std::vector<Builder> builders_;
  std::deque<Waiting> waiting_;
};

}  // namespace remsh::buildbot
