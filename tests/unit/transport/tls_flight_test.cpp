#include "transport/tls_flight.hpp"

#include <doctest/doctest.h>

#include <string>

namespace remsh {

namespace {

Bytes record(char type, const Bytes& content) {
  return {type, '\x03', '\x03', static_cast<char>(content.size() >> 8U), static_cast<char>(content.size() & 0xffU)};
}
Bytes whole_record(char type, const Bytes& content) { return record(type, content) + content; }
Bytes message(std::size_t size, std::size_t said) {
  return Bytes{'\x01', static_cast<char>(said >> 16U), static_cast<char>(said >> 8U), static_cast<char>(said & 0xffU)} +
         Bytes(size, 'm');
}
Bytes message(std::size_t size) { return message(size, size); }

constexpr char alert_record = 21;
constexpr char handshake_record = 22;
constexpr char data_record = 23;

}  // namespace

TEST_CASE("a flight is whole where a record ends with a message, however it comes") {
  const Bytes one = message(300);
  const Bytes bytes = whole_record(handshake_record, one.substr(0, 2)) +
                      whole_record(handshake_record, one.substr(2, 100)) +
                      whole_record(handshake_record, one.substr(102) + message(0) + message(7)) +
                      whole_record(data_record, "secret") + whole_record(alert_record, "xx");
  const std::size_t first = 15 + one.size() + 4 + 11;
  TlsFlight flight(1000);
  for (std::size_t size = 1; size <= bytes.size(); ++size) {
    CAPTURE(size);
    REQUIRE(flight.look(BytesView(bytes).substr(0, size)));
    const std::size_t expected = size < first ? 0 : size < first + 11 ? first : size < first + 18 ? first + 11 : size;
    REQUIRE(flight.whole() == expected);
  }
}

TEST_CASE("what was taken of a flight is not looked at again") {
  const Bytes one = whole_record(handshake_record, message(10));
  const Bytes two = whole_record(handshake_record, message(20));
  TlsFlight flight(1000);
  REQUIRE(flight.look(one + two.substr(0, 9)));
  REQUIRE(flight.whole() == one.size());
  flight.taken(one.size());
  CHECK(flight.whole() == 0);
  REQUIRE(flight.look(two.substr(0, 10)));
  CHECK(flight.whole() == 0);
  REQUIRE(flight.look(two + one));
  CHECK(flight.whole() == two.size() + one.size());
}

TEST_CASE("a message that is too long, or cut by something else, is none") {
  CHECK(TlsFlight(1000).look(whole_record(handshake_record, message(0, 1000))));
  CHECK_FALSE(TlsFlight(1000).look(whole_record(handshake_record, message(0, 1001))));
  CHECK_FALSE(TlsFlight(1000).look(whole_record(handshake_record, message(0, 0xffffff))));
  CHECK_FALSE(TlsFlight(1000).look(whole_record(handshake_record, message(1000) + message(0, 1001))));
  for (const char type : {alert_record, data_record, '\x14'}) {
    CHECK_FALSE(TlsFlight(1000).look(whole_record(handshake_record, message(5, 10)) + whole_record(type, "x")));
    CHECK_FALSE(TlsFlight(1000).look(whole_record(handshake_record, "\x01") + whole_record(type, "x")));
  }
}

TEST_CASE("what is no TLS is passed on as it is") {
  for (const Bytes& bytes : {Bytes("GET / HTTP/1.1\r\n"), Bytes("\x16\x04\x01\0\1", 5), Bytes("\x16\x03\x01\xff\xff"),
                             Bytes("\0\4_ask\0\1", 8)}) {
    TlsFlight flight(1000);
    CHECK(flight.look(bytes));
    CHECK(flight.whole() == bytes.size());
  }
  const Bytes good = whole_record(handshake_record, message(5));
  TlsFlight flight(1000);
  CHECK(flight.look(good + "GET / HTTP"));
  CHECK(flight.whole() == good.size() + 10);
}

}  // namespace remsh
