#include "transport/network.hpp"

#include "base/decimal.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstddef>
#include <string>

namespace remsh {

namespace {

constexpr std::size_t mapped_prefix = 96;  // bits before an IPv4 address in an IPv6 one

/// The address with all bits after its prefix set to zero, as in Network::parse().
IpAddress first_of(const IpAddress& address, unsigned prefix) noexcept {
  IpAddress first = address;
  for (std::size_t i = 0; i < first.bytes.size(); ++i) {
    const unsigned bits = prefix > i * 8 ? std::min(prefix - static_cast<unsigned>(i) * 8, 8U) : 0;
    first.bytes[i] = static_cast<std::uint8_t>(first.bytes[i] & (0xFF00U >> bits));
  }
  return first;
}

}  // namespace

std::optional<IpAddress> parse_ip_address(std::string_view text) {
  const std::string number(text.substr(0, text.find('%')));  // the functions below need a terminating zero
  if (number.size() > INET6_ADDRSTRLEN || number.find('\0') != std::string::npos) return std::nullopt;
  IpAddress address;
  if (in6_addr six{}; ::inet_pton(AF_INET6, number.c_str(), &six) == 1) {
    std::copy(std::begin(six.s6_addr), std::end(six.s6_addr), address.bytes.begin());
    return address;
  }
  in_addr four{};
  if (number.size() != text.size() || ::inet_pton(AF_INET, number.c_str(), &four) != 1) return std::nullopt;
  const std::uint32_t value = ntohl(four.s_addr);
  address.bytes[10] = address.bytes[11] = 0xFF;
  for (unsigned i = 0; i < 4; ++i) address.bytes[12 + i] = static_cast<std::uint8_t>(value >> (24 - 8 * i));
  return address;
}

std::optional<IpAddress> ip_address_of(std::string_view description) {
  description.remove_prefix(description.rfind(' ') + 1);  // npos + 1 is 0
  const std::size_t colon = description.rfind(':');
  if (colon == std::string_view::npos || !from_decimal(description.substr(colon + 1))) return std::nullopt;
  std::string_view host = description.substr(0, colon);
  if (!host.starts_with('[')) return host.find(':') == std::string_view::npos ? parse_ip_address(host) : std::nullopt;
  if (!host.ends_with(']')) return std::nullopt;
  host.remove_prefix(1);
  host.remove_suffix(1);
  return parse_ip_address(host);
}

std::optional<Network> Network::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string_view host = text.substr(0, slash);
  const std::optional<IpAddress> address = parse_ip_address(host);
  if (!address || host.find('%') != std::string_view::npos) return std::nullopt;
  const bool is_four = host.find(':') == std::string_view::npos;
  const std::size_t most = is_four ? 32 : 128;
  std::size_t prefix = most;
  if (slash != std::string_view::npos) {
    const std::optional<std::uint64_t> given = from_decimal(text.substr(slash + 1));
    if (!given || *given > most) return std::nullopt;
    prefix = static_cast<std::size_t>(*given);
  }
  const Network network(*address, static_cast<unsigned>(is_four ? mapped_prefix + prefix : prefix));
  if (first_of(*address, network.prefix_) != *address) return std::nullopt;
  return network;
}

bool Network::contains(const IpAddress& address) const noexcept { return first_of(address, prefix_) == first_; }

}  // namespace remsh
