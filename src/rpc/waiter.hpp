// Waiter: a thread or a suspended call that waits for an event of a peer.
#pragma once

#include "os/parking.hpp"
#include "rpc/engine.hpp"
#include "rpc/read_buffer.hpp"

#include <remsh/base/deadline.hpp>

#include <functional>

namespace remsh::rpc {

/// A blocked thread, which may read for all while it waits, or a suspended call, whose waker runs when polling may make
/// progress. Its members belong to the peer's mutex.
struct Waiter {
  Parking parking;
  bool parked = false;
  bool woken = false;       // it has a permit that it has not seen yet
  bool stopped = false;     // by its stop_token
  bool is_polled = false;   // has no thread: its waker is called, and it never leads
  bool wants_room = false;  // waits (among others) for room to send
  TimePoint young_until{};  // may lead until then
  TimePoint settled_at{};   // when the answer to its call came
  ReadBuffer buffer;
  const OpenCall* feeds = nullptr;  // the call, driven by another waiter, whose input it writes
  Waiter* previous = nullptr;       // in the list of parked waiters
  Waiter* next = nullptr;
  bool is_server = false;      // drains the ready queue
  std::function<void()> wake;  // of a suspended call: called once, without the mutex
};

/// Whether there is something to do for a waiter; evaluated under the mutex. Refers to the callable, does not own it.
class HasWork {
 public:
  template <class Callable>
  HasWork(const Callable& callable)
      : callable_(&callable), ask_([](const void* self) { return (*static_cast<const Callable*>(self))(); }) {}
  bool operator()() const { return ask_(callable_); }

 private:
  const void* callable_;
  bool (*ask_)(const void*);
};

}  // namespace remsh::rpc
