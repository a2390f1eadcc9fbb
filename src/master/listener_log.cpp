#include "master/listener_log.hpp"

#include "base/call_log_hook.hpp"
#include "base/format.hpp"

#include <cstddef>
#include <vector>

namespace remsh {

void ListenerLog::log(LogLevel level, const std::string& peer, const std::string& message) const {
  call_log_hook(hook_, level, "listener", peer, message);
}

void ListenerLog::log_slave(LogLevel level, const std::string& name, Proof proof, std::string message, bool is_first) {
  if (proof != Proof::started) {  // the host program decides how often it starts slaves, so there is no limit
    const std::lock_guard lock(mutex_);
    const TimePoint now = loop_->now();
    std::vector<Pace::Answer> answers{is_first ? lines_of_names_.ask_if_known(name, now)
                                               : lines_of_names_.ask(name, now)};
    if (proof == Proof::none) answers.push_back(lines_of_keyless_.ask({}, now));
    std::size_t left_out = 0;
    for (const Pace::Answer& answer : answers) {
      if (answer.wait > Duration::zero()) return;
      left_out += answer.left_out;
    }
    if (left_out > 0) message += formatted(" (and {} lines more, left out)", left_out);
  }
  log(level, name, message);
}

}  // namespace remsh
