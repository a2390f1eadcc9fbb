// The outer form of compressed data: what is one frame of few blocks, and what is not.
#include "connection/zstd_frame.hpp"

#include "support/hex.hpp"

#include <doctest/doctest.h>

using namespace remsh;
using remsh::test::from_hex;

namespace {

/// A frame whose header, behind its magic number, is this, with raw blocks of one byte each.
Bytes frame(BytesView header, std::size_t blocks) {
  Bytes bytes = from_hex("28b52ffd") + from_hex(header);
  while (blocks-- > 1) bytes += from_hex("080000") + "x";
  return bytes + from_hex("090000") + "x";
}

}  // namespace

TEST_CASE("a frame ends with its last block, whatever its header and its blocks are") {
  for (const BytesView header : {"2001", "600000", "a000000000", "e00000000000000000", "0058", "405800ff",
                                 "805800000000", "c0580000000000000000"}) {
    CAPTURE(header);
    for (const std::size_t blocks : {1U, 2U, 16U}) {
      const Bytes bytes = frame(header, blocks);
      CHECK(zstd_frame_size(bytes) == bytes.size());
    }
  }
  const Bytes checked = frame("2401", 1) + "1234";
  CHECK(zstd_frame_size(checked) == checked.size());
  CHECK_FALSE(zstd_frame_size(BytesView(checked).substr(0, checked.size() - 1)));
  const Bytes repeated =
      from_hex("28b52ffd 2001 ffff0f") + from_hex("0a0000") + "x";  // its size is not that of its bytes
  CHECK_FALSE(zstd_frame_size(repeated));
  const Bytes one_repeated = from_hex("28b52ffd 2001 fbff0f") + "x";
  CHECK(zstd_frame_size(one_repeated) == one_repeated.size());
}

TEST_CASE("a frame of more than 16 blocks is refused, however small they are") {
  CHECK_FALSE(zstd_frame_size(frame("2001", 17)));
  CHECK_FALSE(zstd_frame_size(frame("2001", 5000)));
  Bytes empty = from_hex("28b52ffd 2001");
  for (int i = 0; i < 16; ++i) empty += from_hex("000000");
  CHECK_FALSE(zstd_frame_size(empty + from_hex("010000")));
}

TEST_CASE("a frame that is cut anywhere is none") {
  const Bytes bytes = frame("405800ff", 3);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    CHECK_FALSE(zstd_frame_size(BytesView(bytes).substr(0, size)));
}

TEST_CASE("reserved blocks, dictionaries and other magic numbers are refused") {
  CHECK_FALSE(zstd_frame_size(from_hex("28b52ffd 2001 0f0000 78")));
  for (const BytesView header : {"210701", "22070001", "230700000001"}) CHECK_FALSE(zstd_frame_size(frame(header, 1)));
  for (const BytesView magic : {"27b52ffd", "28b52ffe", "502a4d18"}) {
    CHECK_FALSE(zstd_frame_size(from_hex(magic) + frame("2001", 1).substr(4)));
  }
}

TEST_CASE("behind a frame there is nothing, or exactly one skippable frame") {
  const Bytes one = frame("2001", 1);
  for (const BytesView padding : {"502a4d1800000000", "5f2a4d1801000000ff"}) {
    CHECK(zstd_frame_size(one + from_hex(padding)) == one.size());
  }
  for (const BytesView rest :
       {"00", "502a4d18", "502a4d18000000", "502a4d180000000000", "502a4d1801000000", "402a4d1800000000",
        "602a4d1800000000", "512a4d1900000000", "502a4d18ffffffff", "502a4d1800000000502a4d1800000000"}) {
    CAPTURE(rest);
    CHECK_FALSE(zstd_frame_size(one + from_hex(rest)));
  }
  CHECK_FALSE(zstd_frame_size(one + one));
}
