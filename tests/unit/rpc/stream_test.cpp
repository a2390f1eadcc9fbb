// ReceiveStream: chunks in their order, the end, and what is dropped for nobody.
#include "rpc/stream.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace remsh;
using namespace remsh::rpc;

namespace {

Chunk chunk(Bytes bytes) {
  Chunk result;
  result.owned = std::move(bytes);
  return result;
}

Chunk last() {
  Chunk result;
  result.last = true;
  return result;
}

}  // namespace

TEST_CASE("streams have the names of the protocol, and no others") {
  for (const StreamName name : {StreamName::in, StreamName::out, StreamName::err}) {
    CHECK(stream_name(to_string(name)) == name);
  }
  CHECK(to_string(StreamName::err) == "err");
  CHECK_FALSE(stream_name("").has_value());
  CHECK_FALSE(stream_name("IN").has_value());
  CHECK_FALSE(stream_name("out ").has_value());
}

TEST_CASE("the bytes of a chunk are its own, or where they were read") {
  Chunk own = chunk("own");
  CHECK(own.bytes() == "own");
  Chunk read;
  read.read = "read";
  CHECK(read.bytes() == "read");
  CHECK(last().bytes() == "");
}

TEST_CASE("chunks come out as they came in") {
  ReceiveStream stream;
  CHECK(stream.empty());
  CHECK(stream.receive(chunk("a")));
  CHECK(stream.receive(chunk("b")));
  CHECK(stream.receive(last()));
  CHECK(stream.take().bytes() == "a");
  CHECK(stream.take().bytes() == "b");
  CHECK(stream.take().last);
  CHECK(stream.empty());
}

TEST_CASE("nothing comes after the end, and the end comes once") {
  ReceiveStream stream;
  CHECK(stream.receive(last()));
  CHECK_FALSE(stream.receive(chunk("x")));
  CHECK_FALSE(stream.receive(last()));
}

TEST_CASE("more than the credit is refused and not kept") {
  ReceiveStream stream;
  CHECK(stream.receive(chunk(Bytes(stream_window, 'x'))));
  CHECK_FALSE(stream.receive(chunk("y")));
  CHECK(stream.take().bytes().size() == stream_window);
  CHECK(stream.empty());
}

TEST_CASE("the end costs no credit") {
  ReceiveStream stream;
  CHECK(stream.receive(chunk(Bytes(stream_window, 'x'))));
  CHECK(stream.receive(last()));
}

TEST_CASE("used bytes are granted again until the end has come") {
  CreditPool pool;
  ReceiveStream stream;
  REQUIRE(stream.receive(chunk(Bytes(40'000, 'x'))));
  REQUIRE(stream.receive(chunk(Bytes(10'000, 'x'))));
  stream.take();
  CHECK(stream.consume(40'000, pool) == 40'000);  // not lent more: something lies here still
  stream.take();
  CHECK(stream.consume(10'000, pool) == 0);
  REQUIRE(stream.receive(chunk(Bytes(40'000, 'x'))));
  stream.take();
  CHECK(stream.consume(40'000, pool) == 50'000 + 3 * stream_window);
  REQUIRE(stream.receive(chunk(Bytes(60'000, 'x'))));
  REQUIRE(stream.receive(chunk(Bytes(60'000, 'x'))));
  REQUIRE(stream.receive(last()));
  stream.take();
  CHECK(stream.consume(60'000, pool) == 0);  // nobody needs it
  stream.settle(pool);
  CHECK(pool.free() == credit_pool);
}

TEST_CASE("what lies here when its consumer leaves is dropped and granted again") {
  CreditPool pool;
  ReceiveStream stream;
  for (int i = 0; i < 4; ++i) REQUIRE(stream.receive(chunk(Bytes(16'000, 'x'))));
  CHECK(stream.drop_all(pool) == 48'000);  // the last piece is below half a window
  CHECK(stream.empty());
  CHECK(stream.drop_all(pool) == 0);
  CHECK(pool.free() == credit_pool);
}

TEST_CASE("late chunks are dropped and granted again for ever, within the credit") {
  CreditPool pool;
  ReceiveStream stream;
  std::uint64_t credit = stream_window;
  for (int i = 0; i < 100; ++i) {
    std::uint64_t grant = 0;
    REQUIRE(credit >= 20'000);
    REQUIRE(stream.receive_and_drop(chunk(Bytes(20'000, 'x')), pool, grant));
    credit += grant - 20'000;
  }
  CHECK(stream.empty());
  std::uint64_t grant = 1;
  CHECK_FALSE(stream.receive_and_drop(chunk(Bytes(stream_window + 1, 'x')), pool, grant));
  CHECK(grant == 0);
  CHECK(stream.receive_and_drop(last(), pool, grant));
  CHECK_FALSE(stream.receive_and_drop(chunk("x"), pool, grant));
}
