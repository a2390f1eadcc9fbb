// The parts of what a Buildbot worker says over Perspective Broker; no I/O.
#pragma once

#include "base/result.hpp"
#include "buildbot/banana.hpp"
#include "buildbot/worker_update.hpp"

#include <remsh/base/bytes.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>

namespace remsh::buildbot {

/// The number at this place; -1 if there is none.
std::int64_t number_in(const Expression::List& list, std::size_t at);

/// The string at this place; empty if there is none.
BytesView word_in(const Expression::List& list, std::size_t at);

/// The expression without references. They may not make much more of a message than it is.
Result<Expression> as_written(Expression expression);

/// Passes each update to `take`. The argument of a call is a list of [{name: value}, 0].
Result<void> read_updates(const Expression& argument, const std::function<void(WorkerUpdate)>& take);

}  // namespace remsh::buildbot
