// How much of a command's output passes.
#include "slave/output_cap.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace remsh;

namespace {

/// What a caller gets of these pieces.
Bytes what_passes(OutputCap& cap, const std::vector<Bytes>& pieces) {
  Bytes all;
  for (const Bytes& piece : pieces) {
    all.append(piece, 0, cap.admit(piece));
    all += cap.mark();
    cap.mark_sent(cap.mark().size());
  }
  return all;
}

}  // namespace

TEST_CASE("without a limit everything passes, and so does output that just fills its limits") {
  OutputCap none({}, {});
  CHECK(what_passes(none, {"a\nb", "\n", "c"}) == "a\nb\nc");
  CHECK_FALSE(none.is_closed());
  OutputCap exact(5, 2);
  CHECK(what_passes(exact, {"a\n", "bc", "\n"}) == "a\nbc\n");
  CHECK_FALSE(exact.is_closed());
  CHECK(exact.dropped() == 0);
}

TEST_CASE("what is beyond the bytes is dropped and counted, and one line says so") {
  OutputCap cap(4, {});
  CHECK(what_passes(cap, {"abc", "defg", "h"}) ==
        "abcd\n[remsh: the rest of the output, beyond 4 bytes, is dropped]\n");
  CHECK(cap.is_closed());
  CHECK(cap.dropped() == 4);
}

TEST_CASE("what is beyond the lines is dropped") {
  OutputCap cap({}, 2);
  CHECK(what_passes(cap, {"a\nb", "b\nc\n", "d"}) ==
        "a\nbb\n[remsh: the rest of the output, beyond 2 lines, is dropped]\n");
  CHECK(cap.dropped() == 3);
}

TEST_CASE("the first limit that is reached counts") {
  OutputCap bytes(3, 2);
  CHECK(what_passes(bytes, {"abcd\n"}) == "abc\n[remsh: the rest of the output, beyond 3 bytes, is dropped]\n");
  OutputCap lines(10, 1);
  CHECK(what_passes(lines, {"a\nb\n"}) == "a\n[remsh: the rest of the output, beyond 1 lines, is dropped]\n");
}

TEST_CASE("a limit of zero lets nothing pass") {
  OutputCap bytes(0, {});
  CHECK(what_passes(bytes, {"a"}) == "[remsh: the rest of the output, beyond 0 bytes, is dropped]\n");
  OutputCap lines({}, 0);
  CHECK(what_passes(lines, {"a"}) == "[remsh: the rest of the output, beyond 0 lines, is dropped]\n");
}

TEST_CASE("the line can be sent in parts") {
  OutputCap cap(0, {});
  CHECK(cap.admit("x") == 0);
  const Bytes whole(cap.mark());
  cap.mark_sent(10);
  CHECK(cap.mark() == BytesView(whole).substr(10));
}
