// The text of addresses.
#include "transport/address.hpp"

#include "base/format.hpp"
#include "base/text.hpp"
#include "transport/socket_address.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstddef>
#include <system_error>

namespace remsh {
namespace {

// The prefixes of addresses.
constexpr std::array<std::string_view, 3> prefixes{"tcp:", "tls:", "unix:"};

/// The prefix that a text begins with, in lower or upper case; empty if there is none.
std::string_view prefix_of(std::string_view text) {
  const auto is_same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
  for (const std::string_view prefix : prefixes) {
    const std::string_view begin = text.substr(0, prefix.size());
    if (std::equal(begin.begin(), begin.end(), prefix.begin(), prefix.end(), is_same)) return prefix;
  }
  return {};
}

}  // namespace

Failure malformed_address(std::string_view text, const std::string& why) {
  return {Errc::invalid_argument, formatted("the address {} {}", in_quotes(text), why), 0};
}

Result<Address> parse_address(std::string_view text, AddressUse use) {
  constexpr std::string_view forms = "; tcp:HOST:PORT, tls:HOST:PORT or unix:PATH is wanted, with [ADDRESS] for IPv6";
  const auto bad = [&](const std::string& why) { return malformed_address(text, why + std::string(forms)); };
  if (text.empty()) return bad("is empty");
  Address address;
  std::string_view rest = text;
  if (rest.starts_with("unix:")) {
    rest.remove_prefix(5);
    std::string fault = unix_path_fault(rest);
    if (is_abstract(rest)) fault = "has a zero byte in its path";
    if (!fault.empty()) return malformed_address(text, fault);
    address.kind = Address::Kind::unix_socket;
    address.path = rest;
    return address;
  }
  if (const std::string_view prefix = prefix_of(text); !text.starts_with(prefix)) {
    return bad(formatted("begins with '{}', which is written '{}'", text.substr(0, prefix.size()), prefix));
  }
  if (rest.starts_with("tls:")) address.kind = Address::Kind::tls;
  if (rest.starts_with("tcp:") || rest.starts_with("tls:")) rest.remove_prefix(4);
  std::string_view port;
  if (rest.starts_with('[')) {
    const std::size_t close = rest.find(']');
    if (close == std::string_view::npos) return bad("has a '[' without a ']'");
    address.host = rest.substr(1, close - 1);
    rest.remove_prefix(close + 1);
    if (!rest.starts_with(':')) return bad("has no port behind the ']'");
    port = rest.substr(1);
  } else {
    const std::size_t colon = rest.find(':');
    if (colon == std::string_view::npos) return bad("has no port");
    const std::string_view first = rest.substr(0, colon);
    const std::string_view behind = rest.substr(colon + 1);
    if (behind.find(':') != std::string_view::npos) {
      const bool is_word = !first.empty() && first.find_first_not_of("abcdefghijklmnopqrstuvwxyz+") == first.npos;
      if (is_word && rest == text && first.size() > 1) {
        return bad(formatted("begins with '{}:', which is none of tcp:, tls: and unix:", first));
      }
      return bad("has more than one colon, and is not an IPv6 address in brackets");
    }
    address.host = first;
    port = behind;
  }
  if (address.host.empty()) return bad("has no host");
  if (address.host.find('\0') != std::string::npos) return bad("has a zero byte in its host");
  if (address.host.find_first_of("[]") != std::string::npos) return bad("has a bracket in its host");
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  const int lowest = use == AddressUse::listen ? 0 : 1;
  if (error != std::errc() || end != port.data() + port.size() || address.port < lowest) {
    return bad(formatted("has the port {}, which is not a number from {} to 65535", in_quotes(port), lowest));
  }
  return address;
}

std::string to_string(const Address& address) {
  if (address.kind == Address::Kind::unix_socket) {
    return is_abstract(address.path) ? "unix:@" + address.path.substr(1) : "unix:" + address.path;
  }
  const bool bare = address.host.find(':') == std::string::npos;
  const bool is_prefix = !prefix_of(address.host + ":").empty();  // a host has the name of a prefix
  const char* const prefix = address.kind == Address::Kind::tls ? "tls:" : is_prefix ? "tcp:" : "";
  return formatted("{}{}:{}", prefix, bare ? address.host : "[" + address.host + "]", address.port);
}

}  // namespace remsh
