#include "slave/command_set_shared.hpp"

#include "slave/command.hpp"
#include "slave/command_environment.hpp"

#include <algorithm>
#include <utility>

namespace remsh {

CommandSet::Shared::Shared(std::shared_ptr<Loop> on, Duration grace, LogHook hook, CommandHooks with)
    : loop(std::move(on)),
      background_grace(grace),
      log(std::move(hook)),
      hooks(std::move(with)),
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

void CommandSet::Shared::keep_background(const Bytes& name, Duration kill_after) {
  std::unique_lock lock(mutex);
  if (stopping) {
    lock.unlock();
    return end_background(name, kill_after);
  }
  std::erase_if(background, [this](const Background& each) { return !killer->knows(each.name); });
  background.push_back({name, kill_after});
}

void CommandSet::Shared::end_background(const Bytes& name, Duration kill_after) {
  {
    const std::lock_guard lock(endings->mutex);
    ++endings->count;
  }
  const TimePoint kill_at = loop->now() + std::min(kill_after, farewell);
  killer->end({-1, name}, kill_at, kill_at + farewell, [endings = endings](bool) {
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
