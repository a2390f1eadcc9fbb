#include "master/rights_watch.hpp"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <exception>
#include <utility>

namespace remsh {

RightsWatch::RightsWatch(std::unique_ptr<KeyWatch> keys, std::shared_ptr<Names> names, Host host)
    : keys_(std::move(keys)), names_(std::move(names)), host_(std::move(host)) {}

void RightsWatch::start(std::weak_ptr<RightsWatch> self) {
  self_ = std::move(self);
  listener_ = names_->join(keys_ ? keys_->store() : nullptr, [weak = self_] {
    if (const auto watch = weak.lock()) watch->keys_changed();
  });
  if (!keys_) return;
  later(KeyWatch::period, &RightsWatch::look_again_and_again<&RightsWatch::look_at_files>);
  later(KeyWatch::period, &RightsWatch::look_again_and_again<&RightsWatch::look_at_clock>);
}

void RightsWatch::stop() {
  names_->leave(listener_);
  const std::lock_guard lock(mutex_);
  is_stopped_ = true;
}

void RightsWatch::look_after(Look look) {
  assert(keys_);
  const std::lock_guard lock(mutex_);
  others_.push_back(std::move(look));
}

void RightsWatch::later(Duration wait, void (RightsWatch::*function)()) {
  host_.loop->at(host_.loop->now() + wait, [weak = self_, function] {
    const auto self = weak.lock();
    if (self) self->host_.run([self, function] { ((*self).*function)(); });
  });
}

template <void (RightsWatch::*look)()>
void RightsWatch::look_again_and_again() {
  try {
    (this->*look)();
  } catch (const std::exception& error) {  // out of memory, for example: the next look may succeed
    log_failure("cannot look at the keys and certificates", error);
  }
  later(KeyWatch::period, &RightsWatch::look_again_and_again<look>);
}

/// May block for as long as a disk does. look_at_clock() and check_all() do not wait for it.
void RightsWatch::look_at_files() {
  for (const LogRecord& record : keys_->look_at_file()) host_.log(record);
  const auto others = [this] {
    const std::lock_guard lock(mutex_);
    return others_;
  }();
  for (const Look& look : others) {
    for (const LogRecord& record : look()) host_.log(record);
  }
}

void RightsWatch::look_at_clock() {
  if (keys_->look_at_clock()) keys_changed();
}

/// Has all slaves checked: at once after the first change, and once for several changes in quick succession.
void RightsWatch::keys_changed() {
  constexpr Duration pause = std::chrono::milliseconds(100);
  const std::lock_guard lock(mutex_);
  if (is_stopped_ || check_is_due_) return;
  later(std::max(checked_ + pause - host_.loop->now(), Duration::zero()), &RightsWatch::check_all);
  check_is_due_ = true;  // only after later() has succeeded: if it throws, the next change tries again
}

void RightsWatch::check_all() {
  {
    const std::lock_guard lock(mutex_);
    check_is_due_ = false;
    checked_ = host_.loop->now();
  }
  try {
    for (const auto& backend : host_.backends()) end_without_right(*backend);
  } catch (const std::exception& error) {
    log_failure("cannot look at the rights of slaves", error);
    keys_changed();
  }
}

void RightsWatch::end_without_right(AdmittedBackend& backend) const {
  if (backend.lost()) return;
  const char* why = nullptr;
  if (backend.proof() == Proof::none && names_->has_key(backend.name())) why = name_has_key;
  if (backend.proof() == Proof::key && (!keys_ || !keys_->counts(backend))) why = "its key does not count any more";
  if (why == nullptr) return;
  backend.disconnect(why, DisconnectReason::refused);
  host_.log({LogLevel::warning, {}, std::string(backend.name()), why});
}

void RightsWatch::log_failure(const std::string& what, const std::exception& error) const {
  host_.log({LogLevel::error, {}, {}, what + ": " + error.what()});
}

}  // namespace remsh
