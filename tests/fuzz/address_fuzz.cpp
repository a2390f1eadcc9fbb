// Addresses: any text is an address that can be written and read again, or is refused with a sentence.
#include "fuzz/input.hpp"
#include "transport/address.hpp"

using namespace remsh;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const BytesView text = fuzz::Input(data, size).rest();
  const auto address = parse_address(text, AddressUse::listen);
  REMSH_EXPECT(parse_address(text).ok() ==
               (address.ok() && (address->kind == Address::Kind::unix_socket || address->port != 0)));
  if (!address) {
    fuzz::expect_printable(address.failure().message);
    return 0;
  }
  if (address->kind != Address::Kind::unix_socket) {
    REMSH_EXPECT(!address->host.empty() && address->path.empty());
    REMSH_EXPECT(address->host.find('\0') == std::string::npos);
  } else {
    REMSH_EXPECT(!address->path.empty() && address->path.find('\0') == std::string::npos);
  }
  const auto again = parse_address(to_string(*address), AddressUse::listen);
  REMSH_EXPECT(again && *again == *address);
  return 0;
}
