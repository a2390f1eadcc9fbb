// Tests of Connection, on every transport.
#include "support/transport_calls.hpp"
#include "unit/transport/transports.hpp"

#include <remsh/base/error.hpp>
#include <remsh/connection/connection.hpp>
#include <remsh/transport/memory.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

using namespace std::chrono_literals;
using namespace remsh;
using remsh::test::for_each_transport;
using remsh::test::put;

namespace {

/// The code of the Error that a function throws; nothing where it throws none.
template <class E, class Function>
std::optional<Errc> code_thrown(const Function& function) {
  try {
    function();
  } catch (const E& error) {
    return error.code();
  }
  return std::nullopt;
}

}  // namespace

TEST_CASE("boxes come through both ways in their order, and then a clean end") {
  for_each_transport([](std::unique_ptr<Transport> a, std::unique_ptr<Transport> b) {
    Connection one(std::move(a));
    auto two = std::make_unique<Connection>(std::move(b));
    one.send_box({{"n", "1"}});
    one.send_box({{"n", "2"}, {"empty", ""}});
    two->send_box({{"back", "x"}});
    CHECK(two->read_box() == Box{{"n", "1"}});
    CHECK(two->read_box() == Box{{"n", "2"}, {"empty", ""}});
    two.reset();
    CHECK(one.read_box() == Box{{"back", "x"}});
    CHECK_FALSE(one.read_box().has_value());
    CHECK_FALSE(one.read_box().has_value());
  });
}

TEST_CASE("boxes larger than any buffer come through while both sides send") {
  for_each_transport([](std::unique_ptr<Transport> a, std::unique_ptr<Transport> b) {
    Connection one(std::move(a));
    Connection two(std::move(b));
    Box big;
    for (int i = 0; i < 15; ++i) big.set("k" + std::to_string(i), Bytes(65535, static_cast<char>('a' + i)));
    const auto exchange = [&big](Connection& connection) {
      auto sender = std::async(std::launch::async, [&] {
        for (int i = 0; i < 3; ++i) connection.send_box(big);
      });
      for (int i = 0; i < 3; ++i) CHECK((connection.read_box() == big));
      sender.get();
    };
    auto other = std::async(std::launch::async, [&] { exchange(two); });
    exchange(one);
    other.get();
  });
}

TEST_CASE("a box that is cut is a lost connection, not an end") {
  for_each_transport([](std::unique_ptr<Transport> a, std::unique_ptr<Transport> b) {
    Connection one(std::move(a));
    put(*b, encode({{"whole", "1"}}) + std::string("\0\4cu", 4));
    b.reset();
    CHECK(one.read_box().has_value());
    CHECK(code_thrown<ConnectionLost>([&] { one.read_box(); }) == Errc::connection_lost);
    CHECK(code_thrown<ConnectionLost>([&] { one.read_box(); }) == Errc::connection_lost);
  });
}

TEST_CASE("bytes that are no boxes end the connection for both sides") {
  for_each_transport([](std::unique_ptr<Transport> a, std::unique_ptr<Transport> b) {
    Connection one(std::move(a));
    put(*b, "GET / HTTP/1.1");
    CHECK(code_thrown<ProtocolError>([&] { one.read_box(); }) == Errc::protocol_error);
    CHECK(code_thrown<ProtocolError>([&] { one.read_box(); }) == Errc::protocol_error);
    CHECK(b->wait(Ready::read, 1h) == Ready::read);
    CHECK(code_thrown<ConnectionLost>([&] { one.send_box({{"a", "1"}}); }) == Errc::connection_lost);
  });
}

TEST_CASE("a read that is too late loses nothing") {
  for_each_transport([](std::unique_ptr<Transport> a, std::unique_ptr<Transport> b) {
    Connection one(std::move(a));
    CHECK(code_thrown<Timeout>([&] { one.read_box(no_wait); }) == Errc::timeout);
    const Bytes bytes = encode({{"key", "value"}});
    put(*b, BytesView(bytes).substr(0, 7));
    CHECK(code_thrown<Timeout>([&] { one.read_box(1ms); }) == Errc::timeout);
    CHECK(code_thrown<Timeout>([&] { one.read_box(15ms); }) == Errc::timeout);
    put(*b, BytesView(bytes).substr(7));
    CHECK(one.read_box() == Box{{"key", "value"}});
  });
}

TEST_CASE("a read without waiting gives what is there") {
  for_each_transport([](std::unique_ptr<Transport> a, std::unique_ptr<Transport> b) {
    Connection one(std::move(a));
    put(*b, encode({{"a", "1"}}) + encode({{"b", "2"}}));
    CHECK(one.read_box() == Box{{"a", "1"}});
    CHECK(one.read_box(no_wait) == Box{{"b", "2"}});
  });
}

TEST_CASE("a send that is too late closes the connection") {
  for_each_transport([](std::unique_ptr<Transport> a, std::unique_ptr<Transport> b) {
    Connection one(std::move(a));
    const Box box{{"data", Bytes(65535, 'x')}};
    CHECK(code_thrown<Timeout>([&] {
            for (;;) one.send_box(box, 5ms);
          }) == Errc::timeout);
    CHECK(code_thrown<ConnectionLost>([&] { one.send_box(box); }) == Errc::connection_lost);
    b.reset();
  });
}

TEST_CASE("closing wakes a reader in another thread") {
  for_each_transport([](std::unique_ptr<Transport> a, std::unique_ptr<Transport> b) {
    Connection one(std::move(a));
    std::promise<void> begun;
    auto reader = std::async(std::launch::async, [&] {
      begun.set_value();
      return one.read_box();
    });
    begun.get_future().get();
    one.close();
    CHECK_FALSE(reader.get().has_value());
    CHECK(b->wait(Ready::read, 1h) == Ready::read);
  });
}

TEST_CASE("what cannot be sent is refused before a byte is") {
  auto [a, b] = memory_pair();
  Connection one(std::move(a), {.bytes = 100000, .fields = 2});
  Connection two(std::move(b));
  CHECK(code_thrown<Error>([&] { one.send_box({}); }) == Errc::invalid_argument);
  CHECK(code_thrown<Error>([&] { one.send_box({{"a", Bytes(65536, 'x')}}); }) == Errc::too_large);
  CHECK(code_thrown<Error>([&] {
          one.send_box({{"a", Bytes(60000, 'x')}, {"b", Bytes(40000, 'x')}});
        }) == Errc::too_large);
  CHECK(code_thrown<Error>([&] { one.send_box({{"a", ""}, {"b", ""}, {"c", ""}}); }) == Errc::too_large);
  one.send_box({{"a", Bytes(65535, 'x')}, {"b", ""}});
  CHECK(two.read_box()->get("a")->size() == 65535);
  CHECK(one.description() == "memory");
}

TEST_CASE("what is over the limits of the reader is a protocol error") {
  auto [a, b] = memory_pair();
  Connection one(std::move(a));
  Connection two(std::move(b), {.bytes = 20});
  one.send_box({{"key", Bytes(11, 'x')}});
  CHECK(two.read_box().has_value());
  one.send_box({{"key", Bytes(12, 'x')}});
  CHECK(code_thrown<ProtocolError>([&] { two.read_box(); }) == Errc::protocol_error);
}
