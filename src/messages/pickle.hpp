// Values as the pickle of Python has them. Pure.
#pragma once

#include "base/result.hpp"
#include <remsh/base/value.hpp>

#include <remsh/base/bytes.hpp>

#include <cstddef>

namespace remsh::messages {

/// What a pickle may become, however short it is: it can refer to one object many times.
struct PickleLimits {
  std::size_t values = 1'000'000;                      ///< in all, with the containers
  std::size_t bytes = std::size_t{256} * 1024 * 1024;  ///< of all texts, bytes and large ints
  std::size_t depth = 100;                             ///< of containers in containers
};

/// Writes a value in protocol 4, which every Python from 3.4 on reads. Fails with invalid_argument for a text that is
/// not UTF-8, an int of over 255 bytes, containers deeper than PickleLimits::depth, and a key that Python cannot hash.
Result<Bytes> to_pickle(const Value& value);

/// Reads a pickle of protocol 2 to 5 that is plain data. Fails with protocol_error for anything else: a pickle is a
/// program, and only the steps that make plain data are taken. Nothing is imported, called or made of a class.
Result<Value> from_pickle(BytesView pickle, const PickleLimits& limits = {});

}  // namespace remsh::messages
