// Translates between the calls of remsh 1 and our operations: arguments, results, and error texts.
#pragma once

#include "base/result.hpp"
#include "remsh1/message.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/connection/box.hpp>

#include <functional>

namespace remsh {

/// The arguments of the operation of the same name, for a call with all of its arguments.
Box arguments_of(const remsh1::Call& call);

/// The results of the original's answer, from those of our operation: for all but execute, send and fetch.
Result<Box> results_of(const remsh1::Call& call, const Box& reply);

/// The content of the original's `finished`, from the reply of an execute.
Result<remsh1::ReturnCode> return_code_of(const Box& reply);

/// True if the original counts this failure as success.
bool is_success(const remsh1::Call& call, const Failure& failure);

/// The failure in the words of the original's slave, which programs may look for. `exists` says whether there is
/// something at a path: the original checks the source first, then the target.
Bytes error_text(const remsh1::Call& call, const Failure& failure, const std::function<bool(const Bytes&)>& exists);

}  // namespace remsh
