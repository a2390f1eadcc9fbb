// Address: where to connect or listen, and its text.
#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace remsh {

/// Where to connect or listen.
struct Address {
  enum class Kind : std::uint8_t { tcp, unix_socket, tls };
  Kind kind = Kind::tcp;
  std::string host = {};  ///< tcp and tls: a name or a number
  std::uint16_t port = 0;
  std::string path = {};  ///< unix: the path of the socket; with a zero byte in front, an abstract name

  friend bool operator==(const Address&, const Address&) = default;
};

enum class AddressUse : std::uint8_t {
  connect,
  listen,  ///< the port may be 0: the system picks one
};

/// Parses "tcp:HOST:PORT", "tls:HOST:PORT" (HOST: a name, a number, or "[::1]"), "unix:PATH", and "HOST:PORT", which
/// means tcp. The failure says which part is wrong.
Result<Address> parse_address(std::string_view text, AddressUse use = AddressUse::connect);

/// The failure for a bad address; `why` continues the sentence after the address: "has no port".
Failure malformed_address(std::string_view text, const std::string& why);

/// The text that parse_address() accepts: "127.0.0.1:9876", "tls:[::1]:9876", "unix:/run/farm.sock".
std::string to_string(const Address& address);

}  // namespace remsh
