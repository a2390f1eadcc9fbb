#include <remsh/base/log.hpp>

#include "base/format.hpp"
#include "base/log_text.hpp"
#include "base/utc_time.hpp"

#include <chrono>
#include <mutex>
#include <ostream>

namespace remsh {

std::string log_text(const LogRecord& record, std::chrono::system_clock::time_point at) {
  return formatted("{} {} {}: {}{}{}", to_local_text(at), to_string(record.level), record.component, record.peer,
                   record.peer.empty() ? "" : ": ", record.message);
}

LogHook log_to(std::ostream& stream, LogLevel from) {
  return [&stream, from](const LogRecord& record) {
    if (record.level < from) return;
    const std::string line = log_text(record, std::chrono::system_clock::now()) + "\n";
    static std::mutex mutex;  // one for all hooks, because several may share a stream
    const std::lock_guard lock(mutex);
    stream << line << std::flush;
  };
}

}  // namespace remsh
