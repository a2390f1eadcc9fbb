// The names of hashes in front of challenges, by which Python's connections say how a key is proven.
#pragma once

#include "base/digest.hpp"

#include <remsh/base/bytes.hpp>

#include <optional>
#include <string_view>

namespace remsh::messages {

/// Removes the name of a hash, such as "{sha256}", from the front of the message, and returns that hash. nullopt if
/// there is none, or it is not known.
std::optional<Hash> take_hash_name(BytesView& message);

/// The name of a hash, as "{sha256}". Empty if challenges have no name for it.
std::string_view name_in_front(Hash hash) noexcept;

}  // namespace remsh::messages
