#include <remsh/base/log.hpp>

#include "base/format.hpp"
#include "base/utc_time.hpp"

#include <chrono>
#include <mutex>
#include <ostream>

namespace remsh {

LogHook log_to(std::ostream& stream, LogLevel from) {
  return [&stream, from](const LogRecord& record) {
    if (record.level < from) return;
    const std::string line =
        formatted("{} {} {}: {}{}{}\n", to_local_text(std::chrono::system_clock::now()), to_string(record.level),
                  record.component, record.peer, record.peer.empty() ? "" : ": ", record.message);
    static std::mutex mutex;  // one for all hooks, because several may share a stream
    const std::lock_guard lock(mutex);
    stream << line << std::flush;
  };
}

}  // namespace remsh
