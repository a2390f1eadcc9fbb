#include "master/buildbot_group.hpp"

#include "base/format.hpp"
#include "base/hex.hpp"
#include "os/random.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace remsh {

namespace {

/// The ids of at most so many commands of one worker, and of at most so many workers, are remembered.
constexpr std::size_t max_orphans = 256;
constexpr std::size_t max_workers = 4096;

std::string random_hex() {
  std::array<char, 8> bytes{};
  random_bytes(bytes);
  return to_hex({bytes.data(), bytes.size()});
}

}  // namespace

BuildbotGroup::BuildbotGroup(std::shared_ptr<Loop> loop, Keepalive keepalive, AdmittedBackend::Owner owner)
    : loop_(std::move(loop)), keepalive_(keepalive), owner_(std::move(owner)), prefix_(random_hex()) {}

std::string BuildbotGroup::new_command_id() {
  const std::lock_guard lock(mutex_);
  return formatted("{}-{}", prefix_, ++last_command_);
}

void BuildbotGroup::remember_orphans(const std::string& worker, std::vector<std::string> commands) {
  if (commands.empty()) return;
  commands.resize(std::min(commands.size(), max_orphans));
  const std::lock_guard lock(mutex_);
  if (orphans_.size() < max_workers || orphans_.contains(worker)) orphans_[worker] = std::move(commands);
}

std::vector<std::string> BuildbotGroup::take_orphans(const std::string& worker) {
  const std::lock_guard lock(mutex_);
  auto found = orphans_.extract(worker);
  return found ? std::move(found.mapped()) : std::vector<std::string>();
}

}  // namespace remsh
