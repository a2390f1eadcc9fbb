#include "rpc/read_buffer.hpp"

#include "base/thread_object.hpp"

#include <algorithm>
#include <new>
#include <utility>
#include <vector>

namespace remsh::rpc {

namespace {

/// How many memories a thread keeps to which chunks refer: as many as the credit of one stream fills, so that a thread
/// that reads ahead of a slow user finds one that is free again.
constexpr std::size_t most_spares = 6;

/// The least room for a read.
constexpr std::size_t least_room = std::size_t{96} * 1024;

std::vector<PartlyFilled>& spares() {
  auto* const memories = of_this_thread<std::vector<PartlyFilled>>();
  return memories != nullptr ? *memories : *new std::vector<PartlyFilled>;  // the program exits
}

/// Whether there is room in it; all of it, if nobody else refers to it.
bool has_room(PartlyFilled& memory) noexcept {
  if (!memory.memory) return false;
  if (memory.memory.is_only()) memory.filled = 0;
  return SharedMemory::size - memory.filled >= least_room;
}

}  // namespace

SharedMemory SharedMemory::make() { return SharedMemory(new Counted); }

SharedMemory::~SharedMemory() {
  if (counted_ != nullptr && counted_->users.fetch_sub(1, std::memory_order_acq_rel) == 1) delete counted_;
}

std::span<char> ReadBuffer::room() {
  if (!has_room(used_)) {
    auto& all = spares();
    const auto found = std::find_if(all.begin(), all.end(), has_room);
    if (found != all.end()) {
      std::swap(used_, *found);
      if (!found->memory) all.erase(found);
    } else {
      if (used_.memory && all.size() < most_spares) all.push_back(std::move(used_));
      used_ = {SharedMemory::make(), 0};
    }
  }
  return used_.memory.bytes().subspan(used_.filled);
}

/// The thread keeps the last one alone.
void ReadBuffer::give_back() {
  if (!used_.memory) return;
  auto& all = spares();
  all.clear();
  try {
    all.push_back(std::exchange(used_, {}));
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): it is freed
  }
}

}  // namespace remsh::rpc
