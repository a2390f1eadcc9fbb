#include "slave/program_log.hpp"

#include "base/format.hpp"
#include "base/json_text.hpp"
#include "base/text.hpp"
#include "base/utc_time.hpp"
#include "os/file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace remsh {

namespace {

/// Writes all of a text. False if that is not possible, even if a part was written.
bool write_line(int descriptor, std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t count = ::write(descriptor, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

LogForm form_of(const SlaveProgramOptions& options) {
  if (options.log_json) return LogForm::json;
  const bool is_to_journal = options.log_file.empty() && is_journal(STDERR_FILENO, std::getenv("JOURNAL_STREAM"));
  return is_to_journal ? LogForm::journal : LogForm::text;
}

std::string file_number(const std::string& path, unsigned number) { return formatted("{}.{}", path, number); }

}  // namespace

int priority_of(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::debug: return 7;
    case LogLevel::info: return 6;
    case LogLevel::warning: return 4;
    case LogLevel::error: return 3;
  }
  return 5;
}

bool is_journal(int descriptor, const char* journal_stream) noexcept {
  if (journal_stream == nullptr) return false;
  unsigned long long device = 0;
  unsigned long long inode = 0;
  struct stat what {};
  return std::sscanf(journal_stream, "%llu:%llu", &device, &inode) == 2 && ::fstat(descriptor, &what) == 0 &&
         what.st_dev == device && what.st_ino == inode;
}

std::string log_line(LogForm form, const LogRecord& record, std::chrono::system_clock::time_point now, pid_t process) {
  const std::string about = record.peer + (record.peer.empty() ? "" : ": ");
  switch (form) {
    case LogForm::text:
      return formatted("{} remsh-slave[{}] {}: {}{}\n", to_local_text(now), process, to_string(record.level), about,
                       record.message);
    case LogForm::journal: return formatted("<{}>{}{}\n", priority_of(record.level), about, record.message);
    case LogForm::json:
      return formatted(R"({{"time":"{}","pid":{},"level":"{}","component":{},{}"message":{}}})"
                       "\n",
                       to_utc_text(now), process, to_string(record.level), json_text(record.component),
                       record.peer.empty() ? "" : formatted(R"("peer":{},)", json_text(record.peer)),
                       json_text(record.message));
  }
  return {};
}

Result<std::shared_ptr<ProgramLog>> ProgramLog::open(const SlaveProgramOptions& options) {
  auto log = std::make_shared<ProgramLog>(options);
  if (auto opened = log->reopen(); !opened) return std::move(opened).failure();
  return log;
}

ProgramLog::ProgramLog(const SlaveProgramOptions& options)
    : path_(options.log_file),
      most_bytes_(options.log_size),
      kept_(options.log_keep),
      form_(form_of(options)),
      is_json_in_journal_(form_ == LogForm::json && options.log_file.empty() &&
                          is_journal(STDERR_FILENO, std::getenv("JOURNAL_STREAM"))),
      level_(options.log_level) {}

void ProgramLog::write(const LogRecord& record) {
  if (record.level < level_) return;
  std::string line = log_line(form_, record, std::chrono::system_clock::now(), ::getpid());
  if (is_json_in_journal_) line.insert(0, formatted("<{}>", priority_of(record.level)));
  const std::lock_guard lock(mutex_);
  put(line);
}

void ProgramLog::write(const TraceRecord& record) {
  const std::string text = to_string(record);
  std::string line = text + "\n";
  if (form_ != LogForm::text) {
    line = log_line(form_, {LogLevel::debug, "trace", "", text}, std::chrono::system_clock::now(), ::getpid());
  }
  const std::lock_guard lock(mutex_);
  put(line);
}

Result<void> ProgramLog::reopen() {
  if (path_.empty()) return {};
  auto file = open_file();
  if (!file) return std::move(file).failure();
  struct stat what {};
  const std::lock_guard lock(mutex_);
  file_ = *std::move(file);
  size_ = ::fstat(file_.get(), &what) == 0 ? static_cast<std::uint64_t>(what.st_size) : 0;
  return {};
}

Result<UniqueFd> ProgramLog::open_file() const {
  // Non-blocking, so that a fifo without a reader is an error and does not hang.
  UniqueFd file(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600));
  if (!file) return os_failure(errno, formatted("the log file {}", in_quotes(path_)));
  return file;
}

/// Writes a line. Under the mutex.
void ProgramLog::put(const std::string& line) {
  const bool is_full = !path_.empty() && most_bytes_ > 0 && size_ > 0 && size_ + line.size() > most_bytes_;
  if (is_full) rotate();
  const int to = path_.empty() ? STDERR_FILENO : file_.get();
  if (dropped_ > 0) {
    const LogRecord lost{LogLevel::warning, "slave", "",
                         formatted("{} lines could not be written to the log", dropped_)};
    const std::string words = log_line(form_, lost, std::chrono::system_clock::now(), ::getpid());
    if (!write_line(to, words)) {
      ++dropped_;
      return;
    }
    dropped_ = 0;
    size_ += words.size();
  }
  if (write_line(to, line)) {
    size_ += line.size();
  } else {
    ++dropped_;
  }
}

/// Gives the full file the number 1, after each older file has got the next number, and begins a new one. Goes on with
/// the full one if that fails.
void ProgramLog::rotate() {
  if (kept_ == 0) {
    if (::ftruncate(file_.get(), 0) == 0) size_ = 0;
    return;
  }
  for (unsigned number = kept_; number > 1; --number) {
    ::rename(file_number(path_, number - 1).c_str(), file_number(path_, number).c_str());
  }
  if (::rename(path_.c_str(), file_number(path_, 1).c_str()) != 0) return;
  auto file = open_file();
  if (!file) return;
  file_ = *std::move(file);
  size_ = 0;
}

}  // namespace remsh
