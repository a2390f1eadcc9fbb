// AddressFamily: what kind of address a text is.
#pragma once

#include <cstdint>

namespace remsh {

/// The kind of an address, if its text does not say enough, or must be of one kind.
enum class AddressFamily : std::uint8_t {
  any,          ///< as the text says
  inet,         ///< host:port, over IPv4 or IPv6
  unix_socket,  ///< a path, or an abstract name
};

}  // namespace remsh
