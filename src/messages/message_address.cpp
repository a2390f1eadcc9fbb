#include "messages/message_address.hpp"

#include "base/format.hpp"
#include "transport/socket_address.hpp"

#include <utility>

namespace remsh::messages {

namespace {

bool has_prefix(std::string_view text) {
  return text.starts_with("tcp:") || text.starts_with("tls:") || text.starts_with("unix:");
}

Result<Address> unix_address_of(std::string_view text, std::string path) {
  if (const std::string fault = unix_path_fault(path); !fault.empty()) return malformed_address(text, fault);
  return Address{.kind = Address::Kind::unix_socket, .path = std::move(path)};
}

Result<Address> parse(std::string_view text, AddressFamily family, AddressUse use) {
  if (text.starts_with(R"(\\)")) {
    return malformed_address(
        text, "is a named pipe of Windows, which this system does not have: give HOST:PORT or the path of a socket");
  }
  if (has_prefix(text)) return parse_address(text, use);
  if (text.starts_with('@')) return unix_address_of(text, '\0' + std::string(text.substr(1)));
  if (text.starts_with('\0') || text.find('/') != std::string_view::npos)
    return unix_address_of(text, std::string(text));
  if (text.find(':') != std::string_view::npos || family == AddressFamily::inet) return parse_address(text, use);
  if (family == AddressFamily::unix_socket) return unix_address_of(text, std::string(text));
  if (text.empty()) return malformed_address(text, "is empty");
  if (text.find_first_not_of("0123456789") == std::string_view::npos) {
    return malformed_address(text, formatted("is only a port: write localhost:{}", text));
  }
  return malformed_address(text, formatted("has neither a port nor a '/': write {0}:PORT for a host, or ./{0} for the "
                                           "path of a socket",
                                           text));
}

}  // namespace

Result<Address> address_of(std::string_view text, AddressFamily family, AddressUse use) {
  auto address = parse(text, family, use);
  if (!address || family == AddressFamily::any) return address;
  const bool is_unix = address->kind == Address::Kind::unix_socket;
  if (is_unix == (family == AddressFamily::unix_socket)) return address;
  return malformed_address(text, is_unix ? "is one of a unix socket, but `family` says inet"
                                         : "is one of a host, but `family` says unix_socket");
}

std::string text_of(const Address& address) {
  if (address.kind != Address::Kind::unix_socket) return to_string(address);
  if (is_abstract(address.path)) return "@" + address.path.substr(1);
  return address.path.find('/') == std::string::npos ? "./" + address.path : address.path;
}

}  // namespace remsh::messages
