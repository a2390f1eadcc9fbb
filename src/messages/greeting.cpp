#include "messages/greeting.hpp"

#include <exception>
#include <utility>

namespace remsh::messages {

Greeting::Greeting(Loop& loop, Start start, Done done)
    : loop_(loop),
      stream_(std::move(start.stream)),
      tls_(start.tls),
      who_(std::move(start.who)),
      place_(start.place),
      origin_(start.origin),
      done_(std::move(done)) {
  if (start.proof) proof_.emplace(stream_, std::move(start.proof));
}

Greeting::~Greeting() {
  bell_->set(nullptr);
  if (timer_) loop_.cancel(*timer_);
}

void Greeting::begin(Duration limit) {
  timer_ = loop_.at(loop_.now() + limit, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      self->finish(Failure{Errc::timeout, "the proof was not made in time: does the other side have an authkey?", 0});
    }
  });
  advance();
}

/// Goes on as far as possible.
void Greeting::advance() {
  if (!done_) return;
  // Before the steps: what they miss rings.
  bell_->set([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->advance();
  });
  auto over = go_on();
  if (!over) return finish(std::move(over).failure());
  if (*over) finish({});
}

/// Returns true when it is over. What is thrown for want of memory must not end the io thread.
Result<bool> Greeting::go_on() {
  try {
    return tls_ != nullptr ? secure() : prove();
  } catch (const std::exception& error) {
    return Failure{Errc::local_os_error, error.what(), 0};
  }
}

/// Advances TLS. Returns true when it is done.
Result<bool> Greeting::secure() {
  auto step = tls_->step();
  if (!step) return std::move(step).failure();
  switch (*step) {
    case TlsTransport::Step::done: tls_->set_proven(); return true;
    case TlsTransport::Step::want_read: watch(Ready::read); break;
    case TlsTransport::Step::want_write: watch(Ready::write); break;
  }
  return false;
}

/// Advances the proofs. Returns true when they are made.
Result<bool> Greeting::prove() {
  auto made = proof_->step(Duration::zero());
  if (made.ok() && !*made) watch(proof_->wants());
  return made;
}

void Greeting::watch(Ready direction) {
  if (direction == Ready::read) {
    stream_->watch_for_input(loop_, bell_);
  } else {
    stream_->watch_for_room(loop_, bell_);
  }
}

void Greeting::finish(Result<void> result) {
  if (!done_) return;
  bell_->set(nullptr);
  if (timer_) loop_.cancel(*std::exchange(timer_, std::nullopt));
  std::exchange(done_, nullptr)(*this, std::move(result));
}

}  // namespace remsh::messages
