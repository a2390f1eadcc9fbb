#include "connection/block.hpp"

#include <cassert>
#include <cstring>

namespace remsh {

void Block::frame(std::string_view header, std::size_t count, std::string_view trailer) {
  assert(header.size() <= header_room && count <= payload_ && trailer.size() <= trailer_room);
  begin_ = header_room - header.size();
  end_ = header_room + count + trailer.size();
  std::memcpy(memory_.get() + begin_, header.data(), header.size());
  std::memcpy(memory_.get() + header_room + count, trailer.data(), trailer.size());
}

}  // namespace remsh
