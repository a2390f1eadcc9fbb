// BuildbotGroup: what the back ends for workers of one listener share.
#pragma once

#include "master/admitted_backend.hpp"
#include "master/keepalive.hpp"
#include "transport/loop.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace remsh {

/// Thread-safe.
class BuildbotGroup {
 public:
  BuildbotGroup(std::shared_ptr<Loop> loop, Keepalive keepalive, AdmittedBackend::Owner owner);

  [[nodiscard]] const std::shared_ptr<Loop>& loop() const noexcept { return loop_; }
  [[nodiscard]] const AdmittedBackend::Owner& owner() const noexcept { return owner_; }
  [[nodiscard]] const Keepalive& keepalive() const noexcept { return keepalive_; }

  /// An id for a command that no worker has seen.
  [[nodiscard]] std::string new_command_id();

  // The commands that were running when the connection of a worker ended. They go on in a worker that speaks msgpack.

  void remember_orphans(const std::string& worker, std::vector<std::string> commands);
  [[nodiscard]] std::vector<std::string> take_orphans(const std::string& worker);

 private:
  const std::shared_ptr<Loop> loop_;
  const Keepalive keepalive_;
  const AdmittedBackend::Owner owner_;
  const std::string prefix_;  // of command ids: random

  std::mutex mutex_;
  std::uint64_t last_command_ = 0;
  std::map<std::string, std::vector<std::string>> orphans_;
};

}  // namespace remsh
