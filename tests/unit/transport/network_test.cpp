// Tests of IpAddress and Network.
#include "transport/network.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace remsh;

namespace {

bool is_in(const char* address, const char* network) {
  const auto number = parse_ip_address(address);
  const auto range = Network::parse(network);
  REQUIRE(number);
  REQUIRE(range);
  return range->contains(*number);
}

}  // namespace

TEST_CASE("a network has the addresses that begin with its bits, and no others") {
  CHECK(is_in("10.0.0.1", "10.0.0.0/8"));
  CHECK(is_in("10.255.255.255", "10.0.0.0/8"));
  CHECK_FALSE(is_in("11.0.0.0", "10.0.0.0/8"));
  CHECK(is_in("192.0.2.129", "192.0.2.128/25"));
  CHECK_FALSE(is_in("192.0.2.127", "192.0.2.128/25"));
  CHECK(is_in("fd00::1", "fd00::/8"));
  CHECK_FALSE(is_in("fe00::1", "fd00::/8"));
  CHECK(is_in("203.0.113.9", "0.0.0.0/0"));
  CHECK_FALSE(is_in("2001:db8::1", "0.0.0.0/0"));
  CHECK(is_in("2001:db8::1", "::/0"));
  CHECK(is_in("::1", "::1"));
  CHECK_FALSE(is_in("::2", "::1"));
  CHECK(is_in("127.0.0.1", "127.0.0.1"));
  CHECK_FALSE(is_in("127.0.0.2", "127.0.0.1"));
}

TEST_CASE("an IPv4 peer on a socket of IPv6 is the same peer") {
  CHECK(is_in("::ffff:10.1.2.3", "10.0.0.0/8"));
  CHECK_FALSE(is_in("::ffff:11.1.2.3", "10.0.0.0/8"));
}

TEST_CASE("what is no network is refused") {
  for (const char* text :
       {"", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0.1/8", "10/8",
        "10.0.0.0/8 ", " 10.0.0.0/8", "fd00::/129", "fd00::1/8", "fe80::1%lo", "localhost", "999.0.0.1", "[::1]"}) {
    CAPTURE(text);
    CHECK_FALSE(Network::parse(text));
  }
  CHECK_FALSE(Network::parse(std::string_view("10.0.0.1\0", 9)));
}

TEST_CASE("peers have an address where they came over a network") {
  const auto loopback = parse_ip_address("127.0.0.1");
  CHECK(ip_address_of("tcp 127.0.0.1:4711") == loopback);
  CHECK(ip_address_of("127.0.0.1:4711") == loopback);
  CHECK(ip_address_of("tls 127.0.0.1:4711") == loopback);
  CHECK(ip_address_of("[::1]:80") == parse_ip_address("::1"));
  CHECK(ip_address_of("tcp [::ffff:127.0.0.1]:80") == loopback);
  CHECK(ip_address_of("tcp [fe80::1%eth0]:80") == parse_ip_address("fe80::1"));
  for (const char* text : {"", "unix pid 4242", "unix", "unix:/tmp/a:80", "stdio", "unknown", "localhost:80",
                           "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "::1:80", "[::1:80", "[]:80", "127.0.0.1%lo:80"}) {
    CAPTURE(text);
    CHECK_FALSE(ip_address_of(text));
  }
}
