// Greeting: original slaves are told from all others.
#include "remsh1/greeting.hpp"

#include "golden/remsh1_session.hpp"
#include "support/hex.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace remsh;
using namespace remsh::remsh1;
using remsh::test::from_hex;
using Speaker = Greeting::Speaker;

namespace {

/// Byte by byte, as bytes may come; gives what is known then.
Speaker speaker(Greeting& greeting, BytesView bytes) {
  for (const char byte : bytes) {
    const Speaker speaker = greeting.feed(BytesView(&byte, 1));
    if (speaker != Speaker::unknown) return speaker;
  }
  return Speaker::unknown;
}

}  // namespace

TEST_CASE("an original slave is known by its register box, and not before it is whole") {
  const Bytes recorded = from_hex(test::remsh1_golden::session[0].hex);
  Greeting slowly;
  CHECK(speaker(slowly, BytesView(recorded).substr(0, recorded.size() - 1)) == Speaker::unknown);
  CHECK(speaker(slowly, BytesView(recorded).substr(recorded.size() - 1)) == Speaker::original);
  CHECK(slowly.registration().hostname == "worker1");
  CHECK(slowly.registration().version == 1);
  Greeting at_once;
  CHECK(at_once.feed(recorded) == Speaker::original);
}

TEST_CASE("a slave of today is known by its third byte, and its bytes are kept for who understands them") {
  const Bytes hello = encode({{"_ask", "1"}, {"_command", "hello"}, {"name", "w"}});
  Greeting slowly;
  CHECK(speaker(slowly, hello) == Speaker::other);
  CHECK(slowly.bytes() == hello.substr(0, 3));
  Greeting at_once;
  CHECK(at_once.feed(hello) == Speaker::other);
  CHECK(at_once.bytes() == hello);
}

TEST_CASE("what is neither is nobody we know, at the first byte that shows it") {
  Greeting web;
  CHECK(web.feed("G") == Speaker::unknown);
  CHECK(web.feed("E") == Speaker::other);
  Greeting long_key;
  CHECK(long_key.feed(BytesView("\1\0", 2)) == Speaker::other);
  Greeting empty;
  CHECK(empty.feed(BytesView("\0\0", 2)) == Speaker::other);
  Greeting unrelated;
  CHECK(unrelated.feed(encode({{"type", "other"}})) == Speaker::other);
  Greeting incomplete;
  CHECK(incomplete.feed(encode({{"hostname", "w"}, {"type", "register"}})) == Speaker::other);
  Greeting eager;
  CHECK(eager.feed(from_hex(test::remsh1_golden::session[0].hex) + "x") == Speaker::other);
}

TEST_CASE("who sends without end is cut off") {
  Greeting greeting;
  const Bytes bytes = encode({{"hostname", Bytes(5000, 'x')}, {"type", "register"}, {"version", "1"}});
  CHECK(speaker(greeting, bytes) == Speaker::other);
  CHECK(greeting.bytes().size() <= 1024);
}
