// StopWatch: wakes a parked thread when a stop is requested.
#pragma once

#include "os/parking.hpp"

#include <remsh/base/error.hpp>

#include <stop_token>

namespace remsh {

[[noreturn]] inline void throw_stopped(const char* operation) {
  throw Cancelled(Errc::cancelled, {}, operation, "the caller's stop_token was triggered");
}

/// Unparks when a stop is requested. Construct and destroy it without a lock: the destructor waits for a running
/// callback.
class StopWatch {
 public:
  StopWatch(const std::stop_token& stop, Parking& parking) : callback_(stop, Unpark{&parking}) {}

 private:
  struct Unpark {
    Parking* parking;
    void operator()() const noexcept { parking->unpark(); }
  };
  std::stop_callback<Unpark> callback_;
};

}  // namespace remsh
