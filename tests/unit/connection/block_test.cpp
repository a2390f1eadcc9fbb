// Block: a data box in one piece of memory.
#include "connection/block.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <utility>

using remsh::Block;

TEST_CASE("a framed block is header, payload and trailer in one piece") {
  Block one;
  std::memcpy(one.payload().data(), "payload and more", 16);
  one.frame("<head>", 7, "<tail>");
  CHECK(one.box() == "<head>payload<tail>");
}

TEST_CASE("a block takes a full payload between the longest header and trailer") {
  Block one;
  const std::string header(Block::header_room, 'h');
  const std::string trailer(Block::trailer_room, 't');
  std::memset(one.payload().data(), 'p', Block::max_payload);
  CHECK(one.payload().size() == Block::max_payload);
  one.frame(header, Block::max_payload, trailer);
  CHECK(one.box().size() == Block::size);
  CHECK(one.box() == header + std::string(Block::max_payload, 'p') + trailer);
}

TEST_CASE("a moved block keeps its box where it is") {
  Block one;
  one.payload()[0] = 'x';
  one.frame("<", 1, ">");
  const void* const where = one.box().data();
  const Block moved = std::move(one);
  CHECK(moved.box() == "<x>");
  CHECK(moved.box().data() == where);
}

TEST_CASE("an unframed block is an empty box") { CHECK(Block().box().empty()); }
