#include "machine.hpp"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <system_error>

namespace remsh::bench {

namespace {

double cpu_seconds_of(int who) {
  rusage usage{};
  ::getrusage(who, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

double our_cpu_seconds() { return cpu_seconds_of(RUSAGE_SELF) + cpu_seconds_of(RUSAGE_CHILDREN); }

/// Seconds that all CPUs were busy since the system began, and that there were; zeros where it does not say.
struct CpuTimes {
  double busy = 0;
  double all = 0;
};
CpuTimes cpu_times() {
  std::ifstream stat("/proc/stat");
  std::string word;
  double user = 0;
  double nice = 0;
  double system = 0;
  double idle = 0;
  double iowait = 0;
  double irq = 0;
  double softirq = 0;
  double steal = 0;
  if (!(stat >> word >> user >> nice >> system >> idle >> iowait >> irq >> softirq >> steal)) return {};
  const double tick = 1.0 / static_cast<double>(::sysconf(_SC_CLK_TCK));
  const double busy = user + nice + system + irq + softirq + steal;
  return {busy * tick, (busy + idle + iowait) * tick};
}

bool has_room(const char* directory, std::uint64_t bytes) {
  struct statvfs room {};
  return ::access(directory, W_OK | X_OK) == 0 && ::statvfs(directory, &room) == 0 &&
         static_cast<std::uint64_t>(room.f_bavail) * room.f_frsize >= bytes;
}

}  // namespace

void fail(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double cpu_seconds(pid_t process) {
  clockid_t clock{};
  timespec time{};
  if (::clock_getcpuclockid(process, &clock) != 0 || ::clock_gettime(clock, &time) != 0) {
    throw std::runtime_error("the CPU time of process " + std::to_string(process) + " cannot be read: is it gone?");
  }
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double private_kib(pid_t process) {
  const std::string path = "/proc/" + std::to_string(process) + "/smaps_rollup";
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    double kib = 0;
    if (word == "Anonymous:" && file >> kib) return kib;
  }
  throw std::runtime_error("no word of memory in " + path);
}

std::size_t thread_count(pid_t process) {
  const std::filesystem::directory_iterator threads("/proc/" + std::to_string(process) + "/task");
  return static_cast<std::size_t>(std::distance(begin(threads), end(threads)));
}

pid_t fork_child() {
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) fail("fork");
  if (child > 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  return 0;
}

void end_child(pid_t child) noexcept {
  ::kill(child, SIGKILL);
  await_end_of(child);
}

void await_end_of(pid_t child) noexcept {
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) fail("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) fail("setrlimit");
}

void make_room_for_fleet(std::size_t slaves) {
  if (slaves <= largest_fleet()) return;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) fail("getrlimit");
  if (!(std::ifstream("/proc/sys/fs/nr_open") >> limit.rlim_max)) return;
  static_cast<void>(::setrlimit(RLIMIT_NOFILE, &limit));  // refused without the privilege
}

std::size_t largest_fleet() {
  constexpr std::size_t other_uses = 64;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) fail("getrlimit");
  return (std::max<std::size_t>(limit.rlim_max, other_uses + 22) - other_uses) * 10 / 11;
}

std::vector<std::size_t> usable_cpus() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) fail("sched_getaffinity");
  std::vector<std::size_t> cpus;
  for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

void place(pid_t process, const std::vector<std::size_t>& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const std::size_t cpu : cpus) CPU_SET(cpu, &set);
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task")) {
    const pid_t thread = std::stoi(task.path().filename().string());
    if (::sched_setaffinity(thread, sizeof set, &set) != 0 && errno != ESRCH) fail("sched_setaffinity");
  }
}

std::vector<Placement> placements() {
  const std::vector<std::size_t> cpus = usable_cpus();
  std::vector<Placement> list{{"@same", {cpus[0]}, {cpus[0]}, true}};
  if (cpus.size() > 1) list.push_back({"@split", {cpus[0]}, {cpus[1]}, true});
  list.push_back({"@free", cpus, cpus, false});
  return list;
}

Ballast::Ballast(std::size_t bytes)
    : memory_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)), bytes_(bytes) {
  if (memory_ == MAP_FAILED) fail("mmap");
  ::madvise(memory_, bytes_, MADV_NOHUGEPAGE);  // small pages: the most that a fork could have to copy
  auto* at = static_cast<volatile char*>(memory_);
  for (std::size_t i = 0; i < bytes_; i += 4096) at[i] = 1;
}

Ballast::~Ballast() { ::munmap(memory_, bytes_); }

Scratch::Scratch(std::uint64_t bytes) {
  const bool in_memory = has_room("/dev/shm", bytes);
  path_ =
      ((in_memory ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path()) / "remsh-bench-XXXXXX")
          .string();
  if (::mkdtemp(path_.data()) == nullptr) fail("mkdtemp " + path_);
}

Scratch::~Scratch() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Bystanders::Bystanders() : busy_(cpu_times().busy), all_(cpu_times().all), ours_(our_cpu_seconds()) {}

std::optional<double> Bystanders::share() const {
  const CpuTimes times = cpu_times();
  const double all = times.all - all_;
  if (all <= 0) return std::nullopt;
  return std::clamp((times.busy - busy_ - (our_cpu_seconds() - ours_)) / all, 0.0, 1.0);
}

}  // namespace remsh::bench
