// Block: a data box in one piece of memory.
#include "connection/block.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <utility>

using remsh::Block;

TEST_CASE("a framed block is header, payload and trailer in one piece") {
  Block block;
  std::memcpy(block.payload().data(), "payload and more", 16);
  block.frame("<head>", 7, "<tail>");
  CHECK(block.box() == "<head>payload<tail>");
}

TEST_CASE("a block takes a full payload between the longest header and trailer") {
  Block block;
  const std::string header(Block::header_room, 'h');
  const std::string trailer(Block::trailer_room, 't');
  std::memset(block.payload().data(), 'p', Block::max_payload);
  CHECK(block.payload().size() == Block::max_payload);
  block.frame(header, Block::max_payload, trailer);
  CHECK(block.box().size() == Block::size);
  CHECK(block.box() == header + std::string(Block::max_payload, 'p') + trailer);
}

TEST_CASE("a moved block keeps its box where it is") {
  Block block;
  block.payload()[0] = 'x';
  block.frame("<", 1, ">");
  const void* const where = block.box().data();
  const Block moved = std::move(block);
  CHECK(moved.box() == "<x>");
  CHECK(moved.box().data() == where);
}

TEST_CASE("an unframed block is an empty box") { CHECK(Block().box().empty()); }
