#include "os/control_group.hpp"

#include "base/decimal.hpp"
#include "base/format.hpp"
#include "base/take_until.hpp"
#include "base/text.hpp"
#include "os/directory_reader.hpp"
#include "os/file.hpp"
#include "os/process_table.hpp"
#include "os/supervisor.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh {

namespace {

/// The group of the slave's own processes, if they must leave theirs.
constexpr const char* own_group = "remsh-slave-processes";

constexpr std::string_view group_prefix = "remsh-command-";

/// The period for which the time of CPUs is shared out, in microseconds.
constexpr std::uint64_t cpu_period = 100'000;

/// How often processes are moved to another group: more may be born while they are.
constexpr int most_moves = 100;

/// Opens a file of a group. In its directory O_CREAT makes none; in a test it does.
UniqueFd open_in(int directory, const std::string& name, int how) {
  return UniqueFd(::openat(directory, name.c_str(), how | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
}

/// The content of an open file of the system, which has no size.
Result<Bytes> content_of(const UniqueFd& file) {
  if (!file) return os_failure(errno);
  Bytes content;
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t count = ::pread(file.get(), buffer.data(), buffer.size(), static_cast<off_t>(content.size()));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return os_failure(errno);
    if (count == 0) return content;
    content.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

Result<Bytes> content_of(int directory, const char* name) {
  auto content = content_of(UniqueFd(::openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)));
  if (!content) return os_failure(content.failure().os, formatted("reading {}", name));
  return content;
}

/// Calls `visit` with each piece between two separators that is not empty.
template <class Visit>
void for_each_piece(BytesView text, char separator, Visit visit) {
  while (!text.empty()) {
    if (const BytesView piece = take_until(separator, text); !piece.empty()) visit(piece);
  }
}

bool has_word(BytesView text, BytesView word) {
  bool has = false;
  for_each_piece(text.substr(0, text.find('\n')), ' ', [&](BytesView each) { has = has || each == word; });
  return has;
}

/// The number after a key, in lines of "KEY NUMBER"; 0 if it is not there.
std::uint64_t count_of(BytesView text, BytesView key) {
  std::uint64_t count = 0;
  for_each_piece(text, '\n', [&](BytesView line) {
    if (line.starts_with(key) && line.substr(key.size()).starts_with(' ')) {
      count = parse_number(line.substr(key.size() + 1)).value_or(0);
    }
  });
  return count;
}

Result<void> write_to(int directory, const std::string& name, BytesView text) {
  const UniqueFd file = open_in(directory, name, O_WRONLY | O_TRUNC);
  if (!file || ::write(file.get(), text.data(), text.size()) < 0) return os_failure(errno, name);
  return {};
}

/// The part of a mount of cgroup v2 that is in a line of mountinfo: which group is mounted, and where.
struct Mount {
  Bytes group;
  Bytes directory;
};
std::optional<Mount> mount_of(BytesView line) {
  if (line.find(" - cgroup2 ") == BytesView::npos) return std::nullopt;
  std::vector<BytesView> words;
  for_each_piece(line, ' ', [&](BytesView word) { words.push_back(word); });
  if (words.size() < 5) return std::nullopt;
  return Mount{Bytes(words[3]), Bytes(words[4])};
}

/// Whether a process is this one, its supervisor, or one that they have started.
bool is_of_this_slave(const ProcessTable& table, pid_t pid) {
  const pid_t top = supervisor_of_this_process().value_or(::getpid());
  for (int depth = 0; depth < 10'000 && pid > 0; ++depth) {
    if (pid == top) return true;
    const auto* const entry = table.find(pid);
    if (entry == nullptr) return false;
    pid = entry->parent;
  }
  return false;
}

}  // namespace

/// The group below which groups are made.
struct ControlGroup::Base {
  Base(std::string where, UniqueFd opened) : path(std::move(where)), directory(std::move(opened)) {}

  /// Lets the groups below have limits that a controller enforces.
  Result<void> enable(BytesView controller);

  /// Moves the processes of this group, if there are any, to a group below it. With processes in it, some controllers
  /// are refused, and the others would make it a group of threads, into which no process can be put.
  Result<void> move_processes();

  /// Moves those that are in it now. Returns whether there were any.
  Result<bool> move_once();

  /// Makes the directory of a new group, and returns its name.
  Result<Bytes> make_directory();

  /// Removes a group, now or later.
  void remove(const Bytes& name);
  void remove_left();

  /// Removes the groups of slaves that have been killed, and those that another program of this process has left.
  void remove_stale();

  const std::string path;  // for messages
  const UniqueFd directory;
  std::mutex enabling;
  std::mutex mutex;  // guards the following members
  std::uint64_t last = 0;
  std::vector<Bytes> left;  // groups that still have processes
};

Result<void> ControlGroup::Base::enable(BytesView controller) {
  const std::lock_guard lock(enabling);
  const auto available = content_of(directory.get(), "cgroup.controllers");
  if (!available) return available.failure();
  if (!has_word(*available, controller)) {
    return os_failure(
        EOPNOTSUPP,
        formatted("the control group {} has no controller '{}' (is it delegated to this slave, as by Delegate=yes in a "
                  "unit of systemd? Or is it in use by cgroup v1?)",
                  in_quotes(path), controller));
  }
  const auto enabled_before = content_of(directory.get(), "cgroup.subtree_control");
  if (!enabled_before) return enabled_before.failure();
  if (has_word(*enabled_before, controller)) return {};
  if (auto moved = move_processes(); !moved) return moved;
  const auto enabled = write_to(directory.get(), "cgroup.subtree_control", formatted("+{}", controller));
  if (enabled) return {};
  return os_failure(enabled.failure().os,
                    formatted("cannot let control groups in {} have the controller '{}'", in_quotes(path), controller));
}

Result<void> ControlGroup::Base::move_processes() {
  if (::faccessat(directory.get(), "cgroup.type", F_OK, 0) != 0) return {};  // the root of all groups may have both
  for (int i = 0; i < most_moves; ++i) {
    const auto moved = move_once();
    if (!moved) return moved.failure();
    if (!*moved) return {};
  }
  return os_failure(EBUSY, formatted("processes are started in the control group {} all the time", in_quotes(path)));
}

Result<bool> ControlGroup::Base::move_once() {
  const auto all = content_of(directory.get(), "cgroup.procs");
  if (!all) return all.failure();
  if (all->empty()) return false;
  const ProcessTable table = ProcessTable::read();
  if (!table.is_complete()) return os_failure(EAGAIN, "the processes of this system cannot be read");
  std::vector<Bytes> ours;
  bool has_others = false;
  for_each_piece(*all, '\n', [&](BytesView word) {
    const auto pid = static_cast<pid_t>(parse_number(word).value_or(0));  // 0 stands for one that we cannot see
    if (is_of_this_slave(table, pid)) {
      ours.emplace_back(word);
    } else {
      has_others = has_others || pid <= 0 || ::kill(pid, 0) == 0 || errno != ESRCH;  // or it has just ended
    }
  });
  if (has_others) {
    return os_failure(EBUSY, formatted("the control group {} has processes that are not of this slave: start it in a "
                                       "group of its own, as a service of systemd is",
                                       in_quotes(path)));
  }
  if (::mkdirat(directory.get(), own_group, 0755) != 0 && errno != EEXIST) {
    return os_failure(errno, formatted("cannot make a control group in {}", in_quotes(path)));
  }
  for (const Bytes& pid : ours) {
    auto moved = write_to(directory.get(), formatted("{}/cgroup.procs", own_group), pid);
    if (!moved && moved.failure().os != ESRCH) return moved.failure();  // ESRCH: it has ended
  }
  return true;
}

Result<Bytes> ControlGroup::Base::make_directory() {
  for (;;) {
    std::unique_lock lock(mutex);
    const Bytes name = formatted("{}{}-{}", group_prefix, ::getpid(), ++last);
    lock.unlock();
    if (::mkdirat(directory.get(), name.c_str(), 0755) == 0) return name;
    // EEXIST: another program of this process has left it.
    if (errno != EEXIST) return os_failure(errno, formatted("cannot make a control group in {}", in_quotes(path)));
  }
}

void ControlGroup::Base::remove(const Bytes& name) {
  if (::unlinkat(directory.get(), name.c_str(), AT_REMOVEDIR) == 0 || errno != EBUSY) return;
  const std::lock_guard lock(mutex);
  left.push_back(name);
}

void ControlGroup::Base::remove_left() {
  std::unique_lock lock(mutex);
  const auto names = std::exchange(left, {});
  lock.unlock();
  for (const Bytes& name : names) remove(name);
}

void ControlGroup::Base::remove_stale() {
  auto entries = DirectoryReader::open(At{directory.get()}, ".");
  if (!entries) return;
  for (auto name = entries->next(); name && *name; name = entries->next()) {
    if (!(*name)->starts_with(group_prefix)) continue;
    const BytesView word = BytesView(**name).substr(group_prefix.size());
    const auto pid = static_cast<pid_t>(parse_number(word.substr(0, word.find('-'))).value_or(0));
    if (pid > 0 && (pid == ::getpid() || (::kill(pid, 0) != 0 && errno == ESRCH))) remove(**name);
  }
}

ControlGroup::~ControlGroup() {
  if (base_) base_->remove(name_);
}

bool ControlGroup::ran_out_of_memory() const {
  if (!memory_events_) return false;
  const auto events = content_of(memory_events_);
  // Its processes may also be ended because the system, or a group above, is out of memory.
  return events && count_of(*events, "oom") > 0 && count_of(*events, "oom_kill") > 0;
}

bool ControlGroup::ran_out_of_processes() const {
  if (!process_events_) return false;
  const auto events = content_of(process_events_);
  return events && count_of(*events, "max") > 0;
}

Result<ControlGroups> ControlGroups::of_this_process() {
  static std::mutex mutex;
  static std::shared_ptr<ControlGroup::Base> ours;  // guarded by the mutex
  const std::lock_guard lock(mutex);
  if (ours) return ControlGroups(ours);

  const auto groups = content_of(AT_FDCWD, "/proc/self/cgroup");
  const auto mounts = content_of(AT_FDCWD, "/proc/self/mountinfo");
  if (!groups) return groups.failure();
  if (!mounts) return mounts.failure();
  Bytes group;
  for_each_piece(*groups, '\n', [&](BytesView line) {
    if (line.starts_with("0::")) group = line.substr(3);
  });
  std::optional<Mount> mount;
  for_each_piece(*mounts, '\n', [&](BytesView line) {
    auto each = mount_of(line);
    if (!each || mount) return;
    if (each->group == "/") each->group.clear();
    if (group == each->group || group.starts_with(each->group + "/")) mount = std::move(each);
  });
  if (!mount || group.empty()) return os_failure(EOPNOTSUPP, "this system has no control groups (cgroup v2)");
  group.erase(0, mount->group.size());
  const Bytes own = formatted("/{}", own_group);
  if (group.ends_with(own)) group.erase(group.size() - own.size());  // moved there by the program before this one
  auto found = in(mount->directory + group);
  if (found) ours = found->base_;
  return found;
}

Result<ControlGroups> ControlGroups::in(const std::string& directory) {
  UniqueFd opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened) return os_failure(errno, formatted("the control group {}", in_quotes(directory)));
  auto base = std::make_shared<ControlGroup::Base>(directory, std::move(opened));
  base->remove_stale();
  return ControlGroups(std::move(base));
}

Result<ControlGroup> ControlGroups::make(const ControlGroupLimits& limits) const {
  struct Setting {
    BytesView controller;
    std::string file;
    Bytes value;
    bool is_optional = false;  // some systems lack it
  };
  std::vector<Setting> settings;
  if (limits.memory) {
    settings.push_back({"memory", "memory.max", std::to_string(*limits.memory)});
    settings.push_back({"memory", "memory.swap.max", "0", true});
    settings.push_back({"memory", "memory.oom.group", "1", true});
  }
  if (limits.processes) settings.push_back({"pids", "pids.max", std::to_string(*limits.processes)});
  if (limits.cpu) {
    settings.push_back({"cpu", "cpu.max", formatted("{} {}", *limits.cpu * (cpu_period / 1000), cpu_period)});
  }
  base_->remove_left();
  for (const Setting& setting : settings) {
    if (auto enabled = base_->enable(setting.controller); !enabled) return std::move(enabled).failure();
  }

  Result<Bytes> name = base_->make_directory();
  if (!name) return std::move(name).failure();
  ControlGroup group(base_, *name);
  const UniqueFd directory(::openat(base_->directory.get(), name->c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return os_failure(errno, "the control group of the command");
  for (const Setting& setting : settings) {
    auto made = write_to(directory.get(), setting.file, setting.value);
    if (made || setting.is_optional) continue;
    return os_failure(made.failure().os,
                      formatted("the limit {} of the control group cannot be {}", setting.file, setting.value));
  }
  group.entrance_ = open_in(directory.get(), "cgroup.procs", O_WRONLY);
  if (limits.memory) group.memory_events_ = open_in(directory.get(), "memory.events", O_RDONLY);
  if (limits.processes) group.process_events_ = open_in(directory.get(), "pids.events", O_RDONLY);
  if (!group.entrance_ || (limits.memory && !group.memory_events_) || (limits.processes && !group.process_events_)) {
    return os_failure(errno, "the files of the control group");
  }
  return group;
}

}  // namespace remsh
