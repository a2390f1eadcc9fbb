// IpAddress and Network: who is on the other side, and whether that is within "10.0.0.0/8".
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace remsh {

/// The number of a host. Those of IPv4 are held as IPv6 maps them, "::ffff:127.0.0.1", so that it does not matter which
/// kind of socket a peer came in by.
struct IpAddress {
  std::array<std::uint8_t, 16> bytes = {};

  friend bool operator==(const IpAddress&, const IpAddress&) = default;
};

/// Takes "127.0.0.1" and "fe80::1"; a zone behind it ("%eth0") is left out.
std::optional<IpAddress> parse_ip_address(std::string_view text);

/// Of a peer as Transport::description() and endpoints write it: "tcp 127.0.0.1:4711", "[::1]:80". Nothing for peers
/// that have none: unix sockets, pipes.
std::optional<IpAddress> ip_address_of(std::string_view description);

/// A range of addresses that begin with the same bits.
class Network {
 public:
  /// Takes "10.0.0.0/8", "fd00::/8", and a single address. The bits behind the prefix must be 0.
  static std::optional<Network> parse(std::string_view text);

  [[nodiscard]] bool contains(const IpAddress& address) const noexcept;

  friend bool operator==(const Network&, const Network&) = default;

 private:
  Network(const IpAddress& first, unsigned prefix) : first_(first), prefix_(prefix) {}

  IpAddress first_;
  unsigned prefix_;  // bits, of 128
};

}  // namespace remsh
