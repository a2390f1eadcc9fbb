#include "slave/command_set_shared.hpp"

#include "slave/command.hpp"
#include "slave/command_environment.hpp"

#include <algorithm>
#include <utility>

namespace remsh {

CommandSet::Shared::Shared(std::shared_ptr<Loop> on, Duration grace, LogHook hook, CommandHooks with,
                           std::vector<std::string> allowed)
    : loop(std::move(on)),
      background_grace(grace),
      log(std::move(hook)),
      hooks(std::move(with)),
      users(std::move(allowed)),
      environment(own_environment()) {}

bool CommandSet::Shared::add(const std::shared_ptr<Command>& command) {
  const std::lock_guard lock(mutex);
  if (stopping) return false;
  commands.emplace(command.get(), command);
  return true;
}

void CommandSet::Shared::remove(const Command& command) {
  std::shared_ptr<Command> last;  // to be destroyed without the lock
  const std::lock_guard lock(mutex);
  const auto entry = commands.find(&command);
  if (entry == commands.end()) return;
  last = std::move(entry->second);
  commands.erase(entry);
  changed.notify_all();
}

void CommandSet::Shared::keep_background(const Background& left) {
  std::unique_lock lock(mutex);
  if (stopping) {
    lock.unlock();
    return end_background(left);
  }
  std::erase_if(background, [this](const Background& each) { return !killer->knows(each.name); });
  background.push_back(left);
}

void CommandSet::Shared::end_background(const Background& left) {
  {
    const std::lock_guard lock(endings->mutex);
    ++endings->count;
  }
  const TimePoint kill_at = loop->now() + std::min(left.kill_after, farewell);
  killer->end({-1, left.name, left.stop_signal}, kill_at, kill_at + farewell, [endings = endings](bool) {
    const std::lock_guard lock(endings->mutex);
    --endings->count;
    endings->changed.notify_all();
  });
}

bool CommandSet::Shared::is_stopping() const {
  const std::lock_guard lock(mutex);
  return stopping;
}

}  // namespace remsh
