#include "rpc/served_call.hpp"

#include "rpc/served_calls.hpp"

#include <cassert>
#include <mutex>
#include <utility>

namespace remsh::rpc {

ServedCall::~ServedCall() { assert(!is_linked()); }

void ServedCall::list_in(std::shared_ptr<ServedCalls> list) {
  list_ = std::move(list);
  since_ = list_->now();
  const std::lock_guard lock(list_->mutex_);
  number_ = ++list_->last_number_;
  list_->calls_.push_front(*this);
}

void ServedCall::unlist() noexcept {
  if (!list_) return;
  const std::lock_guard lock(list_->mutex_);
  if (!is_linked()) return;
  list_->calls_.erase(*this);
  list_->last_end_ = list_->now();
}

}  // namespace remsh::rpc
