// is_hashable(): whether Python takes a value as the key of a dict, or the item of a set.
#pragma once

#include <remsh/base/value.hpp>

#include <algorithm>

namespace remsh {

/// Whether Python takes it as the key of a dict, or the item of a set. Only for values whose depth is known to be
/// limited.
inline bool is_hashable(const Value& value) {
  if (const auto* const tuple = value.get_if<Value::Tuple>()) {
    return std::all_of(tuple->items.begin(), tuple->items.end(), is_hashable);
  }
  return value.get_if<Value::List>() == nullptr && value.get_if<Value::Set>() == nullptr &&
         value.get_if<Value::Dict>() == nullptr;
}

}  // namespace remsh
