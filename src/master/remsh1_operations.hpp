// Remsh1Backend::Operations: our operations, made of the calls that an original slave has.
#pragma once

#include "master/remsh1_backend.hpp"
#include "master/remsh1_turn.hpp"
#include "master/worker_protocol.hpp"

#include <cstdint>

namespace remsh {

/// One of our operations, done in one turn with the calls that an original slave has. The operations that have no
/// perform() here do not exist in remsh 1. What the slave cannot do is refused before anything is sent. One thread at a
/// time.
class Remsh1Backend::Operations {
 public:
  /// The number is the operation's.
  Operations(Remsh1Backend& backend, std::uint64_t number, const StreamEnds& ends, const Patience& options)
      : ends_(ends), turn_(backend, number, options) {}

  template <class Operation>
  Result<void> operator()(Asked<Operation>& asked) {
    if constexpr (requires { perform(asked); }) {
      if (auto can = check(asked.request); !can) return can;
      return perform(asked);
    } else {
      return no_such_operation("remsh 1", Operation::what.method);
    }
  }

 private:
  // Fail if the request cannot be done.
  static Result<void> check(const operations::Nothing& /*request*/) { return {}; }
  static Result<void> check(const operations::SetCwd::Request& request);
  static Result<void> check(const operations::Mkdir::Request& request);
  static Result<void> check(const operations::Remove::Request& request);
  static Result<void> check(const operations::TwoPaths& request);
  static Result<void> check(const operations::Stat::Request& request);
  static Result<void> check(const operations::Execute::Request& request);
  static Result<void> check(const operations::Send::Request& request);
  static Result<void> check(const operations::Fetch::Request& request);

  Result<void> perform(Asked<operations::SetCwd>& asked);
  Result<void> perform(Asked<operations::Getenv>& asked);
  Result<void> perform(Asked<operations::Mkdir>& asked);
  Result<void> perform(Asked<operations::Remove>& asked);
  Result<void> perform(Asked<operations::Rename>& asked);
  Result<void> perform(Asked<operations::Copy>& asked);
  Result<void> perform(Asked<operations::Stat>& asked);
  Result<void> perform(Asked<operations::Execute>& asked);
  Result<void> perform(Asked<operations::Send>& asked);
  Result<void> perform(Asked<operations::Fetch>& asked);

  /// Waits for its turn. If the turn does not come before the deadline, the slave is busy, not dead.
  Result<void> perform(Asked<operations::Ping>& asked);

  Result<void> ask(const Bytes& command, const Box& arguments);
  Result<std::optional<FileInfo>> look(const Bytes& path);
  Result<void> require_absent(const Bytes& path, bool overwrite);
  Result<void> give_name(const Bytes& part, const Bytes& path, bool overwrite);
  Result<void> change_mode(const Bytes& path, std::uint32_t mode);
  Result<void> enter(const Bytes& directory);

  const StreamEnds& ends_;
  Turn turn_;
};

}  // namespace remsh
