// Address: where to connect to, or to listen, and its text.
#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace remsh {

/// Where to connect to, or to listen.
struct Address {
  enum class Kind : std::uint8_t { tcp, unix_socket, tls };
  Kind kind = Kind::tcp;
  std::string host = {};  ///< of tcp and tls: a name or a number
  std::uint16_t port = 0;
  std::string path = {};  ///< of a unix socket

  friend bool operator==(const Address&, const Address&) = default;
};

enum class AddressUse : std::uint8_t {
  connect,
  listen,  ///< the port may be 0: the system picks one
};

/// Takes "tcp:HOST:PORT", "tls:HOST:PORT" (HOST: a name, a number, or "[::1]"), "unix:PATH", and "HOST:PORT", which is
/// tcp. The message says which part is wrong.
Result<Address> parse_address(std::string_view text, AddressUse use = AddressUse::connect);

/// The failure that refuses an address; `why` goes on after the address: "has no port".
Failure malformed_address(std::string_view text, const std::string& why);

/// As parse_address() takes it: "127.0.0.1:9876", "tls:[::1]:9876", "unix:/run/farm.sock".
std::string to_string(const Address& address);

}  // namespace remsh
