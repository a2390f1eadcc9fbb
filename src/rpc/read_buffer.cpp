#include "rpc/read_buffer.hpp"

#include <utility>
#include <vector>

namespace remsh::rpc {

namespace {

std::vector<std::unique_ptr<char[]>>& spare_buffers() {
  thread_local std::vector<std::unique_ptr<char[]>> spare;
  return spare;
}

}  // namespace

ReadBuffer::~ReadBuffer() { give_back(); }

void ReadBuffer::give_back() {
  if (memory_ && spare_buffers().empty()) spare_buffers().push_back(std::move(memory_));
  memory_.reset();
}

std::span<char> ReadBuffer::span() {
  if (!memory_) {
    auto& spare = spare_buffers();
    if (spare.empty()) {
      memory_ = std::make_unique_for_overwrite<char[]>(size);
    } else {
      memory_ = std::move(spare.back());
      spare.pop_back();
    }
  }
  return {memory_.get(), size};
}

}  // namespace remsh::rpc
