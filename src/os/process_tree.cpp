// TreeKiller and what it stands on: /proc, pidfd, names in environments.
#include "os/process_tree.hpp"

#include "os/process.hpp"
#include "os/random.hpp"
#include "os/threads.hpp"
#include "os/unique_fd.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <iterator>
#include <string>
#include <system_error>
#include <utility>

namespace remsh {

namespace {

using namespace std::chrono_literals;

constexpr Duration first_pause = 1ms;
constexpr Duration longest_pause = 50ms;

/// What forks and ends while the list is read can escape one look, and so can what is in the middle of an exec.
constexpr unsigned clean_looks_wanted = 2;

/// More than any system lets an environment have.
constexpr std::size_t environment_limit = 8 * 1024 * 1024;

/// The rest of a file, up to a limit; empty where it cannot be read.
Bytes read_proc(int proc, pid_t pid, const char* name, std::size_t limit) {
  const std::string path = std::to_string(pid) + '/' + name;
  const UniqueFd file(::openat(proc, path.c_str(), O_RDONLY | O_CLOEXEC));
  Bytes text;
  std::array<char, 4096> buffer;
  while (file && text.size() < limit) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return text;
}

/// A line of /proc/PID/stat. The name in parentheses may be anything, so fields are counted from the last one.
std::optional<ProcessTable::Entry> parse_stat(pid_t pid, BytesView line) {
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
  const auto number = [](BytesView text, auto& value) {
    return std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc();
  };
  ProcessTable::Entry entry;
  entry.id.pid = pid;
  long threads = 0;
  if (!number(field[1], entry.parent) || !number(field[2], entry.group) || !number(field[17], threads) ||
      !number(field[19], entry.id.started)) {
    return std::nullopt;
  }
  // A first thread that has ended looks like a zombie while the others go on.
  const char state = field[0].front();
  entry.lives = (state != 'Z' && state != 'X' && state != 'x') || threads > 1;
  return entry;
}

/// The value of the variable in an environment as the system shows it: entries ended by zero bytes.
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

UniqueFd open_proc() { return UniqueFd(::open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC)); }

std::optional<ProcessTable::Entry> look_at(int proc, pid_t pid) {
  return parse_stat(pid, read_proc(proc, pid, "stat", 4096));
}

bool is_same_process(const ProcessId& process) {
  const UniqueFd proc = open_proc();
  const std::optional<ProcessTable::Entry> entry = look_at(proc.get(), process.pid);
  return entry && entry->id == process;
}

/// Whether it would have died of the SIGTERM that it was sent. A shell's child inherits the shell's trap until it has
/// reset it, and swallows what comes before: it lives on with nothing that catches or ignores the signal.
bool has_not_heard_sigterm(pid_t pid) {
  const UniqueFd proc = open_proc();
  const Bytes status = read_proc(proc.get(), pid, "status", 16384);
  const auto has_sigterm = [&status](BytesView label) {
    const std::size_t at = status.find(label);
    if (at == Bytes::npos) return true;
    std::uint64_t mask = 0;
    const auto [end, error] =
        std::from_chars(status.data() + at + label.size(), status.data() + status.size(), mask, 16);
    return error != std::errc() || ((mask >> (SIGTERM - 1)) & 1U) != 0;
  };
  return !has_sigterm("\nSigIgn:\t") && !has_sigterm("\nSigCgt:\t");
}

/// Takes the status of a dead child that nobody else wants; false where it is no such child.
bool reap_quietly(pid_t pid) noexcept { return ::waitpid(pid, nullptr, WNOHANG) == pid; }

}  // namespace

Bytes new_command_name() {
  std::array<char, 16> random{};
  random_bytes(random);
  constexpr std::string_view digits = "0123456789abcdef";
  Bytes name;
  for (const char byte : random) {
    name += digits[static_cast<unsigned char>(byte) >> 4U];
    name += digits[static_cast<unsigned char>(byte) & 15U];
  }
  return name;
}

Bytes command_entry(const std::vector<Bytes>& environment, const Bytes& name) {
  Bytes entry = Bytes(command_variable) + '=';
  for (const Bytes& ours : environment) {
    if (ours.starts_with(entry) && ours.size() > entry.size()) return ours + ':' + name;
  }
  return entry + name;
}

ProcessTable ProcessTable::read() {
  ProcessTable table;
  UniqueFd descriptor = open_proc();
  if (!descriptor) return table;
  DIR* directory = ::fdopendir(descriptor.get());
  if (directory == nullptr) return table;
  const int proc = descriptor.release();
  while (const dirent* file = ::readdir(directory)) {
    const BytesView name = file->d_name;
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error != std::errc() || end != name.data() + name.size()) continue;
    if (std::optional<Entry> entry = look_at(proc, pid)) table.entries_.emplace(pid, std::move(*entry));
  }
  ::closedir(directory);
  return table;
}

const ProcessTable::Entry* ProcessTable::find(pid_t pid) const {
  const auto at = entries_.find(pid);
  return at == entries_.end() ? nullptr : &at->second;
}

std::vector<ProcessId> ProcessTable::living(const ProcessTree& tree, const std::set<ProcessId>& known) {
  std::multimap<pid_t, pid_t> children;
  for (const auto& [pid, entry] : entries_) children.emplace(entry.parent, pid);

  std::map<pid_t, bool> found;  // and whether it lives
  const pid_t self = ::getpid();
  const auto add = [&](pid_t root) {
    std::vector<pid_t> open{root};
    while (!open.empty()) {
      const pid_t pid = open.back();
      open.pop_back();
      const Entry* entry = find(pid);
      if (entry == nullptr || pid == self || !found.emplace(pid, entry->lives).second) continue;
      const auto [begin, end] = children.equal_range(pid);
      for (auto child = begin; child != end; ++child) open.push_back(child->second);
    }
  };

  add(tree.leader);
  for (const ProcessId& process : known) {
    const Entry* entry = find(process.pid);
    if (entry != nullptr && entry->id == process) add(process.pid);
  }
  for (const auto& [pid, entry] : entries_) {
    if (entry.group == tree.leader) add(pid);
  }
  const UniqueFd proc = open_proc();
  for (auto& [pid, entry] : entries_) {
    if (!entry.lives || found.contains(pid)) continue;
    if (!entry.commands) entry.commands = command_names(read_proc(proc.get(), pid, "environ", environment_limit));
    if (has_name(*entry.commands, tree.name)) add(pid);
  }

  std::vector<ProcessId> result;
  for (const auto& [pid, lives] : found) {
    if (lives) result.push_back(entries_.at(pid).id);
  }
  return result;
}

bool signal_process(const ProcessId& process, int signal) noexcept {
#if defined(__linux__) && defined(SYS_pidfd_open) && defined(SYS_pidfd_send_signal)
  // Held first and looked at then: what is signalled is what was looked at.
  const UniqueFd held(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  if (held) return is_same_process(process) && ::syscall(SYS_pidfd_send_signal, held.get(), signal, nullptr, 0) == 0;
  if (errno == ESRCH) return false;
#endif
  return is_same_process(process) && ::kill(process.pid, signal) == 0;
}

TreeKiller::~TreeKiller() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void TreeKiller::end(ProcessTree tree, TimePoint kill_at, TimePoint give_up_at, Done done) {
  std::unique_lock lock(mutex_);
  incoming_.push_back({std::move(tree), kill_at, give_up_at, std::move(done)});
  if (running_) {
    changed_.notify_all();
    return;
  }
  if (thread_.joinable()) thread_.join();  // it has nothing left to do but to return
  try {
    thread_ = start_thread("remsh-kill", [this] { run(); });
    running_ = true;
  } catch (const std::system_error&) {
    // Without a thread the group is all that can be reached.
  }
  if (running_) return;
  Job job = std::move(incoming_.back());
  incoming_.pop_back();
  lock.unlock();
  signal_group_of(job.tree.leader, SIGKILL);
  job.done(false);
}

void TreeKiller::run() {
  std::vector<Job> jobs;
  Duration pause = first_pause;
  std::unique_lock lock(mutex_);
  for (;;) {
    if (!incoming_.empty()) {
      std::move(incoming_.begin(), incoming_.end(), std::back_inserter(jobs));
      incoming_.clear();
      pause = first_pause;
    }
    if (jobs.empty()) {
      running_ = false;
      return;
    }
    const bool stopping = stopping_;
    lock.unlock();

    ProcessTable table = ProcessTable::read();
    const TimePoint now = std::chrono::steady_clock::now();
    TimePoint next = now + pause;
    for (auto job = jobs.begin(); job != jobs.end();) {
      std::optional<bool> gone = look(*job, table, now);
      if (!gone && stopping) gone = false;
      if (gone) {
        job->done(*gone);
        job = jobs.erase(job);
      } else {
        if (job->kill_at > now) next = std::min(next, job->kill_at);
        ++job;
      }
    }
    pause = std::min(pause * 2, longest_pause);

    lock.lock();
    if (!jobs.empty()) changed_.wait_until(lock, next, [this] { return !incoming_.empty() || stopping_; });
  }
}

/// Nothing: go on; else whether the tree is gone.
std::optional<bool> TreeKiller::look(Job& job, ProcessTable& table, TimePoint now) {
  const pid_t leader = job.tree.leader;
  const bool kill = now >= job.kill_at;
  const bool first = !std::exchange(job.begun, true);
  const std::vector<ProcessId> living = table.living(job.tree, job.seen);  // before a signal scatters them

  if (first) {
    signal_group_of(leader, SIGTERM);
    signal_group_of(leader, SIGCONT);  // what is stopped does not hear it
  }
  if (kill) signal_group_of(leader, SIGKILL);

  if (table.empty()) {
    if (!has_ended(leader)) return now >= job.give_up_at ? std::optional(false) : std::nullopt;
    signal_group_of(leader, SIGKILL);
    return true;
  }

  for (const ProcessId& process : living) {
    const bool is_new = job.seen.insert(process).second;
    const bool was_told = first && table.find(process.pid)->group == leader;
    if (kill) {
      signal_process(process, SIGKILL);
    } else if (is_new ? !was_told : has_not_heard_sigterm(process.pid)) {
      signal_process(process, SIGTERM);
      signal_process(process, SIGCONT);
    }
  }
  // Orphans of the tree come to us where we are a subreaper, and nobody else waits for them.
  for (const ProcessId& process : job.seen) {
    const ProcessTable::Entry* entry = table.find(process.pid);
    if (entry != nullptr && entry->id == process && !entry->lives && entry->parent == ::getpid() &&
        process.pid != leader) {
      reap_quietly(process.pid);
    }
  }

  job.clean_looks = living.empty() ? job.clean_looks + 1 : 0;
  if (job.clean_looks >= clean_looks_wanted) return true;
  return now >= job.give_up_at ? std::optional(false) : std::nullopt;
}

bool OrphanReaper::is_needed() noexcept {
  if (::getpid() == 1) return true;
#if defined(__linux__)
  int subreaper = 0;
  if (::prctl(PR_GET_CHILD_SUBREAPER, &subreaper) == 0) return subreaper != 0;
#endif
  return false;
}

std::size_t OrphanReaper::look(const std::function<bool(pid_t)>& is_known) {
  const ProcessTable table = ProcessTable::read();
  std::vector<ProcessId> suspects;
  std::size_t reaped = 0;
  for (const auto& [pid, entry] : table.entries()) {
    if (entry.parent != ::getpid() || entry.lives || entry.group == ::getpgrp() || is_known(pid)) continue;
    const bool seen_before = std::find(suspects_.begin(), suspects_.end(), entry.id) != suspects_.end();
    if (!seen_before) {
      suspects.push_back(entry.id);
    } else if (reap_quietly(pid)) {
      ++reaped;
    }
  }
  suspects_ = std::move(suspects);
  return reaped;
}

}  // namespace remsh
