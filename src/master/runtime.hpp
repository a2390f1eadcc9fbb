// Runtime: the threads of a master.
#pragma once

#include "os/service_threads.hpp"
#include "transport/loop.hpp"

#include <memory>

namespace remsh {

/// One io thread, and service threads as they are needed. Thread-safe. Ends both when the last owner lets go, which is
/// never one of these threads.
class Runtime {
 public:
  Runtime() : loop_(Loop::start()) {}
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  ~Runtime() {
    services_.stop();  // what they began may still need the loop
    loop_->stop();
  }

  [[nodiscard]] const std::shared_ptr<Loop>& loop() const noexcept { return loop_; }
  [[nodiscard]] ServiceThreads& services() noexcept { return services_; }

 private:
  const std::shared_ptr<Loop> loop_;
  ServiceThreads services_;
};

}  // namespace remsh
