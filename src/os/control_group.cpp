#include "os/control_group.hpp"

#include "base/decimal.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "os/directory_reader.hpp"
#include "os/file.hpp"
#include "os/process_table.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
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
constexpr const char* own_group = "remsh-slave";

constexpr std::string_view group_prefix = "remsh-command-";

/// The period for which the time of CPUs is shared out, in microseconds.
constexpr std::uint64_t cpu_period = 100'000;

/// The content of a file of the system, which has no size; empty if it cannot be read.
Bytes content_of(int directory, const char* name) {
  const UniqueFd file(::openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  Bytes content;
  std::array<char, 4096> buffer{};
  while (file) {
    const auto count = read_file(file.get(), buffer);
    if (!count || *count == 0) break;
    content.append(buffer.data(), *count);
  }
  return content;
}

/// Calls `visit` with each piece between two separators.
template <class Visit>
void for_each_piece(BytesView text, char separator, Visit visit) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end > 0) visit(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
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

/// Writes to a file of the system. In a directory of a control group none can be made; a test makes them.
Result<void> write_to(int directory, const char* name, BytesView text) {
  const UniqueFd file(::openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
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
bool is_of_this_slave(const ProcessTable& table, pid_t pid, pid_t top) {
  for (int depth = 0; depth < 10'000 && pid > 0; ++depth) {
    if (pid == top) return true;
    const auto* const entry = table.find(pid);
    if (entry == nullptr) return false;
    pid = entry->parent;
  }
  return false;
}

/// The process above all of this slave: our parent if it is the same program, which is our supervisor.
pid_t top_of_this_slave() {
  const auto program = [](const std::string& process) {
    struct stat status {};
    const bool is_there = ::stat(formatted("/proc/{}/exe", process).c_str(), &status) == 0;
    return is_there ? std::pair(status.st_dev, status.st_ino) : std::pair<dev_t, ino_t>(0, 0);
  };
  const pid_t parent = ::getppid();
  const auto ours = program("self");
  return ours.second != 0 && program(std::to_string(parent)) == ours ? parent : ::getpid();
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

  /// Makes the directory of a new group, and returns its name.
  Result<Bytes> make_directory();

  /// Removes a group, now or later.
  void remove(const Bytes& name);
  void remove_left();

  /// Removes the groups of slaves that have been killed.
  void remove_stale();

  const std::string path;  // for messages
  const UniqueFd directory;
  std::mutex mutex;  // guards the following members
  std::uint64_t last = 0;
  std::vector<Bytes> left;  // groups that still have processes
};

Result<void> ControlGroup::Base::enable(BytesView controller) {
  if (!has_word(content_of(directory.get(), "cgroup.controllers"), controller)) {
    return os_failure(
        EOPNOTSUPP,
        formatted("the control group {} has no controller '{}' (is it delegated to this slave, as by Delegate=yes in a "
                  "unit of systemd? Or is it in use by cgroup v1?)",
                  in_quotes(path), controller));
  }
  if (has_word(content_of(directory.get(), "cgroup.subtree_control"), controller)) return {};
  if (auto moved = move_processes(); !moved) return moved;
  const auto enabled = write_to(directory.get(), "cgroup.subtree_control", formatted("+{}", controller));
  if (enabled) return {};
  return os_failure(enabled.failure().os,
                    formatted("cannot let control groups in {} have the controller '{}'", in_quotes(path), controller));
}

Result<void> ControlGroup::Base::move_processes() {
  if (::faccessat(directory.get(), "cgroup.type", F_OK, 0) != 0) return {};  // the root of all groups may have both
  const Bytes all = content_of(directory.get(), "cgroup.procs");
  if (all.empty()) return {};
  const ProcessTable table = ProcessTable::read();
  const pid_t top = top_of_this_slave();
  bool are_ours = true;
  std::vector<Bytes> pids;
  for_each_piece(all, '\n', [&](BytesView pid) {
    are_ours = are_ours && is_of_this_slave(table, static_cast<pid_t>(parse_number(pid).value_or(0)), top);
    pids.emplace_back(pid);
  });
  if (!are_ours) {
    return os_failure(EBUSY, formatted("the control group {} has processes that are not of this slave: start it in a "
                                       "group of its own, as a service of systemd is",
                                       in_quotes(path)));
  }
  if (::mkdirat(directory.get(), own_group, 0755) != 0 && errno != EEXIST) {
    return os_failure(errno, formatted("cannot make a control group in {}", in_quotes(path)));
  }
  const std::string entrance = formatted("{}/cgroup.procs", own_group);
  for (const Bytes& pid : pids) {
    auto moved = write_to(directory.get(), entrance.c_str(), pid);
    if (!moved && moved.failure().os != ESRCH) return moved;  // ESRCH: it has ended
  }
  return {};
}

Result<Bytes> ControlGroup::Base::make_directory() {
  for (;;) {
    std::unique_lock lock(mutex);
    const Bytes name = formatted("{}{}-{}", group_prefix, ::getpid(), ++last);
    lock.unlock();
    if (::mkdirat(directory.get(), name.c_str(), 0755) == 0) return name;
    // EEXIST: this process was another program before, which has left it.
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
    const BytesView pid = BytesView(**name).substr(group_prefix.size());
    const auto number = parse_number(pid.substr(0, pid.find('-')));
    if (number && *number > 0 && ::kill(static_cast<pid_t>(*number), 0) != 0 && errno == ESRCH) {
      ::unlinkat(directory.get(), (*name)->c_str(), AT_REMOVEDIR);
    }
  }
}

ControlGroup::~ControlGroup() {
  if (base_) base_->remove(name_);
}

bool ControlGroup::ran_out_of_memory() const {
  return count_of(content_of(directory_.get(), "memory.events"), "oom_kill") > 0;
}

bool ControlGroup::ran_out_of_processes() const {
  return count_of(content_of(directory_.get(), "pids.events"), "max") > 0;
}

Result<ControlGroups> ControlGroups::of_this_process() {
  Bytes group;
  for_each_piece(content_of(AT_FDCWD, "/proc/self/cgroup"), '\n', [&](BytesView line) {
    if (line.starts_with("0::")) group = line.substr(3);
  });
  std::optional<Mount> mount;
  for_each_piece(content_of(AT_FDCWD, "/proc/self/mountinfo"), '\n', [&](BytesView line) {
    const auto each = mount_of(line);
    if (each && !mount && (each->group == "/" || group.starts_with(each->group))) mount = each;
  });
  if (!mount || group.empty()) return os_failure(EOPNOTSUPP, "this system has no control groups (cgroup v2)");
  if (mount->group != "/") group.erase(0, mount->group.size());
  const Bytes own = formatted("/{}", own_group);
  if (group.ends_with(own)) group.erase(group.size() - own.size());  // moved there, by a run of this program before
  return in(mount->directory + group);
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
    const char* file;
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
  ControlGroup group(base_, *name,
                     UniqueFd(::openat(base_->directory.get(), name->c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
  if (!group.directory_) return os_failure(errno, "the control group of the command");
  for (const Setting& setting : settings) {
    auto made = write_to(group.directory_.get(), setting.file, setting.value);
    if (made || setting.is_optional) continue;
    return os_failure(made.failure().os,
                      formatted("the limit {} of the control group cannot be {}", setting.file, setting.value));
  }
  const int how = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
  group.entrance_.reset(::openat(group.directory_.get(), "cgroup.procs", how, 0600));
  if (!group.entrance_) return os_failure(errno, "the entrance of the control group");
  return group;
}

}  // namespace remsh
