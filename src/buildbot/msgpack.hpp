// msgpack: values as the newer protocol of Buildbot's workers writes them; no I/O.
#pragma once

#include "base/result.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/base/value.hpp>

#include <cstddef>

namespace remsh::buildbot {

struct MsgpackLimits {
  std::size_t values = 1'000'000;  ///< in one message, nested ones included
  std::size_t depth = 32;          ///< arrays and maps in each other
};

/// Reads a message that is one value. An array becomes a list, a map a dict, an unsigned int beyond 64 bits of a signed
/// one a LargeInt. Extension types are refused, texts that are not UTF-8, and keys of maps that are neither texts nor
/// bytes: Python's own reader refuses these as well. Fails with protocol_error; no memory is allocated for what a
/// length only announces.
Result<Value> from_msgpack(BytesView message, const MsgpackLimits& limits = {});

/// Writes a value in the shortest form; floats always have 64 bits. Tuples become arrays. Fails with invalid_argument
/// for sets, for ints that need more than 64 bits, for what msgpack has no length for, and for what from_msgpack()
/// refuses: texts that are not UTF-8, other keys than texts and bytes, and a depth over MsgpackLimits::depth.
Result<Bytes> to_msgpack(const Value& value);

}  // namespace remsh::buildbot
