#include "rpc/read_buffer.hpp"

#include <algorithm>
#include <vector>

namespace remsh::rpc {

namespace {

/// How many memories a thread keeps to which chunks refer: as many as the credit of one stream fills, so that a thread
/// that reads ahead of a slow user finds one that is free again.
constexpr std::size_t most_spares = 6;

std::vector<SharedMemory>& spares() {
  thread_local std::vector<SharedMemory> memories;
  return memories;
}

}  // namespace

SharedMemory SharedMemory::make() { return SharedMemory(new Counted); }

SharedMemory::~SharedMemory() {
  if (counted_ != nullptr && counted_->users.fetch_sub(1, std::memory_order_acq_rel) == 1) delete counted_;
}

const SharedMemory& ReadBuffer::memory() {
  if (memory_ && memory_.is_only()) return memory_;
  auto& all = spares();
  const auto is_free = [](const SharedMemory& memory) { return memory.is_only(); };
  const auto found = std::find_if(all.begin(), all.end(), is_free);
  if (found != all.end()) {
    std::swap(memory_, *found);
    if (!*found) all.erase(found);
  } else {
    if (memory_ && all.size() < most_spares) all.push_back(std::move(memory_));
    memory_ = SharedMemory::make();
  }
  return memory_;
}

/// The thread keeps one of those that are free.
void ReadBuffer::give_back() {
  if (!memory_) return;
  auto& all = spares();
  all.clear();
  all.push_back(std::move(memory_));
}

}  // namespace remsh::rpc
