// Between the calls of remsh 1 and the operations of ours: arguments, results, and the words of errors.
#pragma once

#include "base/result.hpp"
#include "remsh1/message.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/connection/box.hpp>

#include <functional>

namespace remsh {

/// The arguments of the operation of the same name, for a call whose own arguments are all there.
Box arguments_of(const remsh1::Call& call);

/// What the original's answer has of what the operation answered: for all but execute, send and fetch.
Result<Box> results_of(const remsh1::Call& call, const Box& reply);

/// What the original's `finished` tells of an execute.
Result<remsh1::ReturnCode> return_code_of(const Box& reply);

/// True where the operation failed with what the original counts as success.
bool is_success(const remsh1::Call& call, const Failure& failure);

/// The failure as the original's slave words it; programs may look for that. `exists` tells whether there is something
/// at a path, as the original looks first at one, then at the other.
Bytes error_text(const remsh1::Call& call, const Failure& failure, const std::function<bool(const Bytes&)>& exists);

}  // namespace remsh
