// ask: runs one operation of a back end.
#pragma once

#include "master/backend.hpp"

#include <utility>

namespace remsh::test {

/// Runs an operation of a back end, and waits for its reply.
template <class Operation>
Result<typename Operation::Reply> ask(Backend& backend, typename Operation::Request request,
                                      const Patience& options = {}, StreamEnds ends = {}) {
  Asked<Operation> asked(std::move(request));
  asked.ends = std::move(ends);
  const Started started = backend.start(asked, options);
  started->wait_until(TimePoint::max());
  if (auto done = started->take(); !done) return std::move(done).failure();
  return std::move(asked.reply);
}

}  // namespace remsh::test
