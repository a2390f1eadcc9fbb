// Who the slaves of a fleet are: names, keys and what they say of themselves.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/secret.hpp>

#include <cstddef>
#include <string>

namespace remsh::bench {

/// The name of a slave by its number.
std::string fleet_name(std::size_t number);

/// Its key: another one for each slave, and no secret.
Secret fleet_key(std::size_t number);

/// The one key of the limit.
Secret fleet_key_of_limit();

/// What a slave says of itself besides its name: a box of the fields of `prove`, without a proof, and the same for all.
Bytes fleet_registration();

}  // namespace remsh::bench
