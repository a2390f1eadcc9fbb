#include <remsh/base/log.hpp>

#include "base/utc_time.hpp"

#include <chrono>
#include <mutex>
#include <ostream>

namespace remsh {

LogHook log_to(std::ostream& stream, LogLevel from) {
  return [&stream, from](const LogRecord& record) {
    if (record.level < from) return;
    std::string line = to_local_text(std::chrono::system_clock::now());
    line.append(" ").append(to_string(record.level)).append(" ").append(record.component).append(": ");
    if (!record.peer.empty()) line.append(record.peer).append(": ");
    line.append(record.message).append("\n");
    static std::mutex mutex;  // of all hooks, as several may have one stream
    const std::lock_guard lock(mutex);
    stream << line << std::flush;
  };
}

}  // namespace remsh
