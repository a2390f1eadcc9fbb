// ProcessTable and its foundations: /proc, pidfds, names in environments.
#include "os/process_table.hpp"

#include "base/format.hpp"
#include "os/file.hpp"
#include "os/random.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/types.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/syscall.h>
#endif

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace remsh {

namespace {

/// More than any system allows for an environment.
constexpr std::size_t environment_limit = 8 * 1024 * 1024;

/// A process that is older than this, in ticks, has completed the exec after its creation.
constexpr std::uint64_t settled_age = 20;

#if defined(__linux__)
// System calls without the C library's functions: the killer's thread has a table of descriptors of its own. Tools that
// watch descriptors by number (ThreadSanitizer) must not confuse them with those of the process.
int sys_openat(int at, const char* path, int flags) noexcept {
  return static_cast<int>(::syscall(SYS_openat, at, path, flags, 0));
}
ssize_t sys_pread(int descriptor, void* data, std::size_t size, off_t offset) noexcept {
  return static_cast<ssize_t>(::syscall(SYS_pread64, descriptor, data, size, offset));
}
void sys_close(int descriptor) noexcept { ::syscall(SYS_close, descriptor); }
#else
int sys_openat(int at, const char* path, int flags) noexcept { return ::openat(at, path, flags); }
ssize_t sys_pread(int descriptor, void* data, std::size_t size, off_t offset) noexcept {
  return ::pread(descriptor, data, size, offset);
}
void sys_close(int descriptor) noexcept { ::close(descriptor); }
#endif

template <class Number>
bool parse(BytesView text, Number& value) {
  return std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc();
}

/// Parses a line of /proc/PID/stat. The name in parentheses may be anything, so fields are counted from the last one.
std::optional<ProcessEntry> parse_stat(pid_t pid, BytesView line) {
  const std::size_t after_name = line.rfind(") ");
  if (after_name == BytesView::npos) return std::nullopt;
  line.remove_prefix(after_name + 2);
  constexpr std::size_t fields = 20;  // 3 to 22 of proc(5)
  std::array<BytesView, fields> field;
  for (BytesView& each : field) {
    const std::size_t space = line.find(' ');
    each = line.substr(0, space);
    if (each.empty()) return std::nullopt;
    line.remove_prefix(space == BytesView::npos ? line.size() : space + 1);
  }
  ProcessEntry entry;
  entry.id.pid = pid;
  long threads = 0;
  if (!parse(field[1], entry.parent) || !parse(field[2], entry.group) || !parse(field[3], entry.session) ||
      !parse(field[17], threads) || !parse(field[19], entry.id.started)) {
    return std::nullopt;
  }
  // A process whose first thread has ended looks like a zombie while other threads go on.
  const char state = field[0].front();
  entry.lives = (state != 'Z' && state != 'X' && state != 'x') || threads > 1;
  return entry;
}

/// The value of the variable in an environment as the system shows it: entries that end with a zero byte.
Bytes command_names(BytesView environment) {
  while (!environment.empty()) {
    const std::size_t end = environment.find('\0');
    const BytesView entry = environment.substr(0, end);
    if (entry.starts_with(command_variable) && entry.substr(command_variable.size()).starts_with('=')) {
      return Bytes(entry.substr(command_variable.size() + 1));
    }
    environment.remove_prefix(end == BytesView::npos ? environment.size() : end + 1);
  }
  return {};
}

bool has_name(BytesView list, BytesView name) {
  while (!list.empty()) {
    const std::size_t colon = list.find(':');
    if (list.substr(0, colon) == name) return true;
    list.remove_prefix(colon == BytesView::npos ? list.size() : colon + 1);
  }
  return false;
}

}  // namespace

Bytes new_command_name() { return random_hex(16); }

Bytes command_entry(const std::vector<Bytes>& environment, const Bytes& name) {
  Bytes entry = Bytes(command_variable) + '=';
  for (const Bytes& ours : environment) {
    if (ours.starts_with(entry) && ours.size() > entry.size()) return ours + ':' + name;
  }
  return entry + name;
}

std::uint64_t ticks_now() noexcept {
#if defined(CLOCK_BOOTTIME)
  constexpr clockid_t clock = CLOCK_BOOTTIME;
#else
  constexpr clockid_t clock = CLOCK_MONOTONIC;
#endif
  timespec now{};
  ::clock_gettime(clock, &now);
  const long per_second = ::sysconf(_SC_CLK_TCK);
  if (per_second <= 0) return 0;
  return static_cast<std::uint64_t>(now.tv_sec) * static_cast<std::uint64_t>(per_second) +
         static_cast<std::uint64_t>(now.tv_nsec) / (1'000'000'000U / static_cast<std::uint64_t>(per_second));
}

ProcessReader::ProcessReader()
    : directory_(::open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
      load_(::open("/proc/loadavg", O_RDONLY | O_CLOEXEC)) {}

std::vector<int> ProcessReader::descriptors() const {
  std::vector<int> result;
  for (const UniqueFd* descriptor : {&directory_, &load_}) {
    if (*descriptor) result.push_back(descriptor->get());
  }
  return result;
}

Result<std::vector<pid_t>> ProcessReader::pids() const {
#if defined(__linux__)
  if (!directory_) return os_failure(ENOENT, "/proc");
  std::vector<pid_t> result;
  if (::lseek(directory_.get(), 0, SEEK_SET) != 0) return os_failure(errno, "/proc");
  struct Head {  // of struct linux_dirent64, which the name follows
    std::uint64_t inode;
    std::int64_t offset;
    unsigned short length;
    unsigned char type;
  };
  constexpr std::size_t name_at = 19;
  std::array<char, 32768> buffer;
  for (;;) {
    const long got = ::syscall(SYS_getdents64, directory_.get(), buffer.data(), buffer.size());
    if (got == 0) return result;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return os_failure(errno, "/proc");
    for (std::size_t at = 0; at + name_at < static_cast<std::size_t>(got);) {
      Head head{};
      std::memcpy(&head, buffer.data() + at, name_at);
      const BytesView name(buffer.data() + at + name_at);
      pid_t pid = 0;
      const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
      if (error == std::errc() && end == name.data() + name.size()) result.push_back(pid);
      at += head.length;
    }
  }
#else
  return os_failure(ENOENT, "/proc");
#endif
}

Result<std::optional<Bytes>> ProcessReader::read(pid_t pid, const char* file, std::size_t limit) const {
  if (!directory_) return os_failure(ENOENT, "/proc");
  const std::string path = formatted("{}/{}", pid, file);
  const int descriptor = sys_openat(directory_.get(), path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    const int error = errno;
    const bool is_ours = error == EMFILE || error == ENFILE || error == ENOMEM;  // a lack of resources of ours
    if (is_ours) return os_failure(error, "/proc/" + path);
    return std::optional<Bytes>();
  }
  Bytes text;
  std::array<char, 4096> buffer;
  while (text.size() < limit) {
    const ssize_t got = sys_pread(descriptor, buffer.data(), buffer.size(), static_cast<off_t>(text.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  sys_close(descriptor);
  return std::optional<Bytes>(std::move(text));
}

Result<std::optional<ProcessEntry>> ProcessReader::find(pid_t pid) const {
  const Result<std::optional<Bytes>> line = read(pid, "stat", 4096);
  if (!line) return line.failure();
  if (!*line) return std::optional<ProcessEntry>();
  return parse_stat(pid, **line);
}

Result<std::optional<Bytes>> ProcessReader::commands_of(pid_t pid) const {
  const Result<std::optional<Bytes>> environment = read(pid, "environ", environment_limit);
  if (!environment) return environment.failure();
  if (!*environment || (*environment)->empty()) return std::optional<Bytes>();
  return std::optional<Bytes>(command_names(**environment));
}

bool ProcessReader::would_die_of(pid_t pid, int signal) const {
  const Result<std::optional<Bytes>> status = read(pid, "status", 16384);
  if (!status || !*status) return false;
  const Bytes& text = **status;
  const auto has_signal = [&](BytesView label) {
    const std::size_t at = text.find(label);
    if (at == Bytes::npos) return true;
    std::uint64_t mask = 0;
    const auto [end, error] = std::from_chars(text.data() + at + label.size(), text.data() + text.size(), mask, 16);
    return error != std::errc() || ((mask >> static_cast<unsigned>(signal - 1)) & 1U) != 0;
  };
  return !has_signal("\nSigIgn:\t") && !has_signal("\nSigCgt:\t");
}

std::optional<pid_t> ProcessReader::last_pid() const {
  if (!load_) return std::nullopt;
  std::array<char, 128> buffer;
  const ssize_t got = sys_pread(load_.get(), buffer.data(), buffer.size(), 0);
  if (got <= 1) return std::nullopt;
  BytesView line(buffer.data(), static_cast<std::size_t>(got));
  if (line.ends_with('\n')) line.remove_suffix(1);
  pid_t pid = 0;
  if (!parse(line.substr(line.rfind(' ') + 1), pid) || pid <= 0) return std::nullopt;
  return pid;
}

bool ProcessReader::is_there(const ProcessId& process) const {
  const Result<std::optional<ProcessEntry>> entry = find(process.pid);
  return entry && *entry && (*entry)->id == process;
}

bool CommandNames::has(const ProcessReader& reader, const ProcessId& process, const Bytes& name) {
  const auto known = known_.find(process);
  if (known != known_.end()) return has_name(known->second, name);
  ++reads_;
  const Result<std::optional<Bytes>> commands = reader.commands_of(process.pid);
  if (!commands || !*commands) return false;
  // The names of a process do not change; only a young process may not have completed its exec.
  if (process.started + settled_age < ticks_now() || !(*commands)->empty()) known_.emplace(process, **commands);
  return has_name(**commands, name);
}

void CommandNames::keep_only(const std::map<pid_t, ProcessEntry>& entries) {
  std::erase_if(known_, [&entries](const auto& known) {
    const auto entry = entries.find(known.first.pid);
    return entry == entries.end() || entry->second.id != known.first;
  });
}

ProcessTable ProcessTable::read() { return read(ProcessReader()); }

ProcessTable ProcessTable::read(const ProcessReader& reader) {
  ProcessTable table;
  const Result<std::vector<pid_t>> pids = reader.pids();
  if (!pids) return table;
  table.complete_ = true;
  for (const pid_t pid : *pids) {
    Result<std::optional<Entry>> entry = reader.find(pid);
    if (!entry) {
      table.complete_ = false;
    } else if (*entry) {
      table.children_.emplace((*entry)->parent, pid);
      table.sessions_.emplace((*entry)->session, pid);
      table.entries_.emplace(pid, std::move(**entry));
    }
  }
  return table;
}

const ProcessTable::Entry* ProcessTable::find(pid_t pid) const {
  const auto at = entries_.find(pid);
  return at == entries_.end() ? nullptr : &at->second;
}

std::set<pid_t> ProcessTable::members(const KnownTree& tree, const ProcessReader& reader, CommandNames& names) const {
  const pid_t self = ::getpid();
  const pid_t own_session = ::getsid(0);
  std::set<pid_t> found;
  std::vector<pid_t> open;
  const auto add = [&](pid_t root) {
    open.push_back(root);
    while (!open.empty()) {
      const pid_t pid = open.back();
      open.pop_back();
      const Entry* entry = find(pid);
      if (entry == nullptr || pid == self || !found.insert(pid).second) continue;
      const auto [child, last_child] = children_.equal_range(pid);
      for (auto each = child; each != last_child; ++each) open.push_back(each->second);
      // A process cannot join an existing session. So a session other than ours was created inside the tree, and is
      // part of it.
      if (entry->session == own_session || entry->session <= 0) continue;
      const auto [fellow, last_fellow] = sessions_.equal_range(entry->session);
      for (auto each = fellow; each != last_fellow; ++each) open.push_back(each->second);
    }
  };

  for (const ProcessId& process : tree.seen) {
    const Entry* entry = find(process.pid);
    if (entry != nullptr && entry->id == process) add(process.pid);
  }
  if (tree.leader > 0) {
    add(tree.leader);
    for (const auto& [pid, entry] : entries_) {
      if (entry.group == tree.leader || entry.session == tree.leader) add(pid);
    }
  }
  for (const auto& [pid, entry] : entries_) {
    if (!entry.lives || entry.id.started < tree.began || found.contains(pid) || pid == self) continue;
    if (names.has(reader, entry.id, tree.name)) add(pid);
  }
  return found;
}

bool signal_process(const ProcessReader& reader, const ProcessId& process, int signal) noexcept {
#if defined(__linux__) && defined(SYS_pidfd_open) && defined(SYS_pidfd_send_signal)
  // Opened first and checked then, so that the process that is signalled is the one that was checked.
  const int held = static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0));
  if (held >= 0) {
    const bool sent = reader.is_there(process) && ::syscall(SYS_pidfd_send_signal, held, signal, nullptr, 0) == 0;
    sys_close(held);
    return sent;
  }
  if (errno == ESRCH) return false;
#endif
  return reader.is_there(process) && ::kill(process.pid, signal) == 0;
}

bool wait_for_end([[maybe_unused]] const ProcessReader& reader, [[maybe_unused]] const ProcessId& process) noexcept {
#if defined(__linux__) && defined(SYS_pidfd_open)
  const int held = static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0));
  if (held < 0) return errno == ESRCH;
  pollfd ended{held, POLLIN, 0};
  while (reader.is_there(process) && ::poll(&ended, 1, -1) < 0 && errno == EINTR) {
  }
  sys_close(held);
  return true;
#else
  return false;
#endif
}

}  // namespace remsh
