// IpAddress and Network: the address of a peer, and whether it is within "10.0.0.0/8".
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace remsh {

/// The number of a host. IPv4 addresses are stored as IPv6 maps them, "::ffff:127.0.0.1", so that the kind of the
/// peer's socket does not matter.
struct IpAddress {
  std::array<std::uint8_t, 16> bytes = {};

  friend bool operator==(const IpAddress&, const IpAddress&) = default;
};

/// Parses "127.0.0.1" and "fe80::1"; a zone at the end ("%eth0") is ignored.
std::optional<IpAddress> parse_ip_address(std::string_view text);

/// The address in a peer's description by Transport::description() and endpoints: "tcp 127.0.0.1:4711", "[::1]:80".
/// nullopt for peers without one: unix sockets, pipes.
std::optional<IpAddress> ip_address_of(std::string_view description);

/// A range of addresses that begin with the same bits.
class Network {
 public:
  /// Parses "10.0.0.0/8", "fd00::/8", and a single address. The bits after the prefix must be 0.
  static std::optional<Network> parse(std::string_view text);

  [[nodiscard]] bool contains(const IpAddress& address) const noexcept;

  friend bool operator==(const Network&, const Network&) = default;

 private:
  Network(const IpAddress& first, unsigned prefix) : first_(first), prefix_(prefix) {}

  IpAddress first_;
  unsigned prefix_;  // in bits, of 128
};

}  // namespace remsh
