// exits: the reply of a program that has ended.
#pragma once

#include "operations/operations.hpp"

namespace remsh::test {

inline operations::Execute::Reply exits(int code) { return {.exit_code = code, .signal = {}}; }

}  // namespace remsh::test
