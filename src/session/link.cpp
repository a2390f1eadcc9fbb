#include "session/link.hpp"

#include "base/connection_words.hpp"

#include <cassert>
#include <cerrno>
#include <new>
#include <string>
#include <utility>

namespace remsh {

void Link::open(std::unique_ptr<Transport> transport, Loop& loop, std::weak_ptr<Watched> watched) {
  assert(!is_open());
  const std::uint32_t slot = loop.add(std::move(watched));
  assert(slot < 1U << 24U);
  transport_ = std::move(transport);
  loop_ = &loop;
  ++number_;  // ignores events of the previous connection
  slot_ = slot & 0xffffffU;
  armed_ = is_cut_ = 0;
}

void Link::close() noexcept {
  if (!is_open()) return;
  if (is_cut_ == 0) transport_->disarm_for_good(loop_->watcher());
  transport_.reset();
  loop_->remove(slot_);
}

IoResult Link::write(std::span<const std::string_view> views) {
  try {
    return transport_->write_some(views);
  } catch (const std::bad_alloc&) {  // unknown how much was written: treat as broken
    return IoResult::broken(ENOMEM);
  }
}

Failure Link::broken(const char* action, int error) const {
  std::string words = transport_->failure_words();
  return {Errc::connection_lost, words.empty() ? connection_broke(action, error) : std::move(words), error};
}

void Link::arm(Ready directions) {
  armed_ = static_cast<unsigned>(directions) & 3U;
  transport_->arm(loop_->watcher(), directions, Loop::token(slot_, ++number_));
}

bool Link::take_event(std::uint32_t number) noexcept {
  if (is_cut_ != 0 || number != number_) return false;
  armed_ = 0;
  return true;
}

void Link::cut() noexcept {
  if (is_cut_ != 0) return;
  is_cut_ = 1;
  armed_ = 0;
  transport_->disarm_for_good(loop_->watcher());
  transport_->shutdown();
}

}  // namespace remsh
