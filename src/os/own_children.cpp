#include "os/own_children.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace remsh {

namespace {

// System calls without the C library's functions: a caller may have a table of descriptors of its own, which tools that
// watch descriptors by number (ThreadSanitizer) must not confuse with that of the process.
int raw_open(int at, const char* path, int flags) noexcept {
  return static_cast<int>(::syscall(SYS_openat, at, path, flags | O_CLOEXEC, 0));
}
long raw_read(int descriptor, char* data, std::size_t size) noexcept {
  long got = 0;
  do {
    got = ::syscall(SYS_read, descriptor, data, size);
  } while (got < 0 && errno == EINTR);
  return got;
}
void raw_close(int descriptor) noexcept { ::syscall(SYS_close, descriptor); }

/// A path of /proc: a directory, or a number in it and a file there.
struct ProcPath {
  ProcPath(std::string_view directory, std::string_view number, std::string_view file) noexcept {
    for (const std::string_view part : {directory, number, file}) {
      const std::size_t count = std::min(part.size(), text.size() - 1 - used);
      std::memcpy(text.data() + used, part.data(), count);
      used += count;
    }
  }
  std::array<char, 64> text{};
  std::size_t used = 0;
};

/// Calls `each(name)` for the entries of a directory whose names are numbers. False if it cannot be read.
template <class Each>
bool for_each_number(const char* directory, const Each& each) noexcept {
  struct Head {  // of struct linux_dirent64, which the name follows
    std::uint64_t inode;
    std::int64_t offset;
    unsigned short length;
    unsigned char type;
  };
  constexpr std::size_t name_at = 19;
  const int descriptor = raw_open(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY);
  if (descriptor < 0) return false;
  std::array<char, 8192> buffer;
  long got = 0;
  while ((got = ::syscall(SYS_getdents64, descriptor, buffer.data(), buffer.size())) > 0) {
    for (std::size_t at = 0; at + name_at < static_cast<std::size_t>(got);) {
      Head head{};
      std::memcpy(&head, buffer.data() + at, name_at);
      const std::string_view name(buffer.data() + at + name_at);
      if (name.front() >= '1' && name.front() <= '9') each(name);
      at += head.length;
    }
  }
  raw_close(descriptor);
  return got == 0;
}

/// Reads numbers, each followed by a blank, from the list of one thread.
bool visit_children_of(std::string_view thread, void (*visit)(void*, pid_t), void* context) noexcept {
  const int descriptor = raw_open(AT_FDCWD, ProcPath("/proc/self/task/", thread, "/children").text.data(), O_RDONLY);
  if (descriptor < 0) return false;
  std::array<char, 4096> buffer;
  pid_t pid = 0;
  long got = 0;
  while ((got = raw_read(descriptor, buffer.data(), buffer.size())) > 0) {
    for (const char c : std::string_view(buffer.data(), static_cast<std::size_t>(got))) {
      if (c >= '0' && c <= '9') {
        pid = pid * 10 + (c - '0');
      } else if (pid > 0) {
        visit(context, pid);
        pid = 0;
      }
    }
  }
  raw_close(descriptor);
  return got == 0;
}

/// The parent of a process; 0 if there is no such process.
pid_t parent_of(std::string_view process) noexcept {
  const int descriptor = raw_open(AT_FDCWD, ProcPath("/proc/", process, "/stat").text.data(), O_RDONLY);
  if (descriptor < 0) return 0;
  std::array<char, 512> buffer;
  const long got = raw_read(descriptor, buffer.data(), buffer.size());
  raw_close(descriptor);
  if (got <= 0) return 0;
  // The name in parentheses may be anything, so fields are counted from the last one: the state, and the parent.
  const std::string_view line(buffer.data(), static_cast<std::size_t>(got));
  const std::size_t after_name = line.rfind(") ");
  if (after_name == std::string_view::npos || after_name + 4 >= line.size()) return 0;
  pid_t parent = 0;
  std::from_chars(line.data() + after_name + 4, line.data() + line.size(), parent);
  return parent;
}

/// Whether a process is a child of ours that has not ended.
bool is_living_child(pid_t process) noexcept {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(process), &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 &&
         info.si_pid == 0;
}

/// True if the child lived. First it is opened and then checked, so that the one that is killed is the one that was
/// checked. Without a descriptor for it (on an old system) the check alone must do.
bool kill_child(pid_t child) noexcept {
#if defined(SYS_pidfd_open) && defined(SYS_pidfd_send_signal)
  const int held = static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
  if (held >= 0) {
    const bool lives = is_living_child(child);
    if (lives) ::syscall(SYS_pidfd_send_signal, held, SIGKILL, nullptr, 0);
    raw_close(held);
    return lives;
  }
#endif
  const bool lives = is_living_child(child);
  if (lives) ::kill(child, SIGKILL);
  return lives;
}

}  // namespace

bool visit_children(ChildList list, void (*visit)(void* context, pid_t child), void* context) noexcept {
  if (list == ChildList::children) {
    bool is_complete = true;
    const auto of_thread = [&](std::string_view thread) {
      // A thread that has ended has no file any more, and no children either.
      if (!visit_children_of(thread, visit, context) && errno != ENOENT && errno != ESRCH) is_complete = false;
    };
    return ::access("/proc/thread-self/children", F_OK) == 0 && for_each_number("/proc/self/task", of_thread) &&
           is_complete;
  }
  const pid_t self = ::getpid();
  return for_each_number("/proc", [&](std::string_view process) {
    pid_t pid = 0;
    std::from_chars(process.data(), process.data() + process.size(), pid);
    if (parent_of(process) == self) visit(context, pid);
  });
}

void SparedChildren::add_all() noexcept {
  const auto add = [](void* context, pid_t child) {
    SparedChildren& all = *static_cast<SparedChildren*>(context);
    if (all.count_ < all.pids_.size()) all.pids_[all.count_++] = child;
  };
  if (visit_children(ChildList::children, add, this)) return;
  count_ = 0;
  visit_children(ChildList::table, add, this);
}

bool SparedChildren::contains(pid_t child) const noexcept {
  const auto end = pids_.begin() + static_cast<std::ptrdiff_t>(count_);
  return std::find(pids_.begin(), end, child) != end;
}

std::size_t kill_children(const SparedChildren& spared, ChildList list) noexcept {
  struct Killing {
    const SparedChildren& spared;
    std::size_t living = 0;
  } killing{spared};
  const auto kill = [](void* context, pid_t child) {
    Killing& all = *static_cast<Killing*>(context);
    if (!all.spared.contains(child) && kill_child(child)) ++all.living;
  };
  if (!visit_children(list, kill, &killing) && list == ChildList::children) {
    visit_children(ChildList::table, kill, &killing);
  }
  return killing.living;
}

}  // namespace remsh
