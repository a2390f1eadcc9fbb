#include "shared_line.hpp"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cassert>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <utility>

namespace remsh::bench {

namespace {

std::uint32_t bit_of(std::size_t caller) { return std::uint32_t{1} << caller; }

}  // namespace

SharedLine::SharedLine(BareLine line, Bytes request, std::size_t answer)
    : line_(std::move(line)), request_(std::move(request)), answer_(answer), buffer_(std::size_t{1} << 16U) {}

void SharedLine::call(std::size_t caller) {
  assert(caller < max_callers);
  std::unique_lock lock(mutex_);
  send(lock, caller);
  while (!answered_[caller]) {
    if (is_read_) {
      follow(lock, caller);
    } else {
      lead(lock, caller);
    }
  }
  answered_[caller] = false;
  if (!is_read_) wake(lock, any_follower());  // nobody may be left asleep without a reader
}

void SharedLine::send(std::unique_lock<std::mutex>& lock, std::size_t caller) {
  asked_.push_back(caller);
  unsent_ += request_;
  if (is_written_) return;
  is_written_ = true;
  lock.unlock();
  ::sched_yield();
  lock.lock();
  Bytes sending;
  while (!unsent_.empty()) {
    sending.clear();
    sending.swap(unsent_);
    lock.unlock();
    line_.write_all(sending.data(), sending.size());
    lock.lock();
  }
  is_written_ = false;
}

void SharedLine::follow(std::unique_lock<std::mutex>& lock, std::size_t caller) {
  asleep_[caller] = true;
  const std::uint32_t seen = wakes_;
  lock.unlock();
  ::syscall(SYS_futex, &wakes_, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, seen, nullptr, nullptr, bit_of(caller));
  lock.lock();
  asleep_[caller] = false;
}

void SharedLine::lead(std::unique_lock<std::mutex>& lock, std::size_t caller) {
  is_read_ = true;
  while (!answered_[caller]) {
    lock.unlock();
    const std::size_t got = line_.read_some(buffer_.data() + have_, buffer_.size() - have_);
    lock.lock();
    if (got == 0) throw std::runtime_error("the other side of a limit is gone");
    have_ += got;
    std::uint32_t owners = take_answers(caller);
    is_read_ = !answered_[caller];
    if (!is_read_ && owners == 0) owners = any_follower();  // none of those who run will read
    wake(lock, owners);
  }
}

/// The callers whose answers have come and who sleep, as bits.
std::uint32_t SharedLine::take_answers(std::size_t reader) {
  const std::size_t whole = have_ / answer_;
  have_ -= whole * answer_;
  std::memmove(buffer_.data(), buffer_.data() + whole * answer_, have_);
  std::uint32_t owners = 0;
  for (std::size_t i = 0; i < whole; ++i) {
    const std::size_t owner = asked_.front();
    asked_.pop_front();
    answered_[owner] = true;
    if (owner != reader && asleep_[owner]) owners |= bit_of(owner);
  }
  return owners;
}

std::uint32_t SharedLine::any_follower() const {
  for (std::size_t caller = 0; caller < max_callers; ++caller) {
    if (asleep_[caller] && !answered_[caller]) return bit_of(caller);
  }
  return 0;
}

void SharedLine::wake(std::unique_lock<std::mutex>& lock, std::uint32_t callers) {
  if (callers == 0) return;
  ++wakes_;
  lock.unlock();
  ::syscall(SYS_futex, &wakes_, FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG, std::numeric_limits<int>::max(), nullptr,
            nullptr, callers);
  lock.lock();
}

}  // namespace remsh::bench
