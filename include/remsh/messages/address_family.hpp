// AddressFamily: what kind of address a text is.
#pragma once

#include <cstdint>

namespace remsh {

/// The kind of an address. Set it if the text is ambiguous, or to accept one kind only.
enum class AddressFamily : std::uint8_t {
  any,          ///< as the text says
  inet,         ///< host:port, over IPv4 or IPv6
  unix_socket,  ///< a path, or an abstract name
};

}  // namespace remsh
