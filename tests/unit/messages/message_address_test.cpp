// The addresses of message connections.
#include "messages/message_address.hpp"

#include "support/has.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

using namespace remsh;
using namespace remsh::messages;
using test::has;

namespace {

Address good(std::string_view text, AddressFamily family = AddressFamily::any) {
  CAPTURE(text);
  auto address = address_of(text, family, AddressUse::listen);
  REQUIRE_MESSAGE(address.ok(), address.failure().message);
  return *address;
}

std::string why_bad(std::string_view text, AddressFamily family = AddressFamily::any) {
  CAPTURE(text);
  const auto address = address_of(text, family, AddressUse::listen);
  REQUIRE_FALSE(address.ok());
  CHECK(address.failure().code == Errc::invalid_argument);
  return address.failure().message;
}

const Address local_host{Address::Kind::tcp, "localhost", 6000, {}};

Address unix_at(std::string path) { return {.kind = Address::Kind::unix_socket, .path = std::move(path)}; }

}  // namespace

TEST_CASE("the form of an address says what it is") {
  CHECK(good("localhost:6000") == local_host);
  CHECK(good("tcp:localhost:6000") == local_host);
  CHECK(good("[::1]:0") == Address{Address::Kind::tcp, "::1", 0, {}});
  CHECK(good("tls:localhost:6000") == Address{Address::Kind::tls, "localhost", 6000, {}});
  CHECK(good("/run/farm/socket") == unix_at("/run/farm/socket"));
  CHECK(good("/run/a:1") == unix_at("/run/a:1"));
  CHECK(good("./a:1") == unix_at("./a:1"));
  CHECK(good("unix:socket") == unix_at("socket"));
  CHECK(good("@farm") == unix_at(std::string("\0farm", 5)));
  CHECK(good(std::string_view("\0farm", 5)) == unix_at(std::string("\0farm", 5)));
}

TEST_CASE("what could be two things is an error, unless the family says which") {
  CHECK(has(why_bad("localhost"), "write localhost:PORT for a host, or ./localhost for the path of a socket"));
  CHECK(good("localhost", AddressFamily::unix_socket) == unix_at("localhost"));
  CHECK(has(why_bad("localhost", AddressFamily::inet), "port"));
  CHECK(has(why_bad(""), "is empty"));
  CHECK(has(why_bad("6000"), "write localhost:6000"));
  CHECK(has(why_bad("::1:6000"), "[ADDRESS]"));
}

TEST_CASE("a family that contradicts the address is an error") {
  CHECK(has(why_bad("/run/socket", AddressFamily::inet), "`family` says inet"));
  CHECK(has(why_bad("@farm", AddressFamily::inet), "`family` says inet"));
  CHECK(has(why_bad("localhost:6000", AddressFamily::unix_socket), "`family` says unix_socket"));
  CHECK(has(why_bad("tls:localhost:6000", AddressFamily::unix_socket), "`family` says unix_socket"));
  CHECK(good("localhost:6000", AddressFamily::inet) == local_host);
  CHECK(good("./socket", AddressFamily::unix_socket) == unix_at("./socket"));
}

TEST_CASE("the pipes of Windows, and paths that no socket can have, are refused with a sentence") {
  CHECK(has(why_bad(R"(\\.\pipe\farm)"), "is a named pipe of Windows"));
  CHECK(has(why_bad(R"(\\server\pipe\farm)"), "give HOST:PORT or the path of a socket"));
  CHECK(has(why_bad("/" + std::string(107, 'x')), "takes at most 107"));
  CHECK(has(why_bad("@" + std::string(107, 'x')), "takes at most 107"));
  CHECK(has(why_bad("@"), "has no name"));
  CHECK(has(why_bad(std::string_view("/a\0b", 4)), "zero byte"));
  CHECK(has(why_bad(std::string_view("unix:\0b", 7)), "zero byte"));
}

TEST_CASE("the text of an address means the same address") {
  for (const char* const text : {"localhost:6000", "[::1]:6000", "tls:localhost:6000", "/run/socket", "@farm"}) {
    CHECK(text_of(good(text)) == text);
  }
  CHECK(good(text_of(unix_at("socket"))) == unix_at("./socket"));
}
