// The addresses of message connections: those of Python, and those of the library.
#pragma once

#include "base/result.hpp"
#include "transport/address.hpp"

#include <remsh/messages/address_family.hpp>

#include <string>
#include <string_view>

namespace remsh::messages {

/// The address that a text means: "host:port", a path (it contains a '/'), "@name" in the abstract namespace, or what
/// parse_address() takes. Fails if the text could mean two things, or another family than the one demanded.
Result<Address> address_of(std::string_view text, AddressFamily family, AddressUse use);

/// The text of an address, as address_of() takes it.
std::string text_of(const Address& address);

}  // namespace remsh::messages
