#include "slave/host_facts.hpp"

#include "base/decimal.hpp"
#include "base/take_until.hpp"
#include "os/unique_fd.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace remsh {

namespace {

constexpr std::size_t longest_fact = 255;

/// The beginning of a small file of the system; empty if it cannot be read.
std::string start_of_file(const char* path) {
  const UniqueFd file(::open(path, O_RDONLY | O_CLOEXEC));
  std::string text(16 * 1024, '\0');
  const ssize_t size = file ? ::read(file.get(), text.data(), text.size()) : 0;
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return text;
}

/// "0.52" as 52; nullopt if it is not such a number.
std::optional<std::uint64_t> hundredths_from(std::string_view text) {
  const std::size_t point = text.find('.');
  if (point == std::string_view::npos || text.size() - point != 3) return std::nullopt;
  const auto whole = from_decimal(text.substr(0, point));
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (!whole || *whole > 1'000'000 || !is_digit(text[point + 1]) || !is_digit(text[point + 2])) return std::nullopt;
  return *whole * 100 + static_cast<std::uint64_t>((text[point + 1] - '0') * 10 + (text[point + 2] - '0'));
}

std::uint64_t usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) return static_cast<std::uint64_t>(CPU_COUNT(&set));
  return static_cast<std::uint64_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));  // more than the set can hold
}

void take_disk(int directory, HostFacts& facts) {
  struct statvfs disk {};
  if (::fstatvfs(directory, &disk) != 0) return;
  facts.disk_total = std::uint64_t{disk.f_blocks} * disk.f_frsize;
  facts.disk_free = std::uint64_t{disk.f_bavail} * disk.f_frsize;
}

void take_uptime(HostFacts& facts) {
  timespec since_boot{};
  if (::clock_gettime(CLOCK_BOOTTIME, &since_boot) != 0) return;
  facts.uptime = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::seconds(since_boot.tv_sec) +
                                                                       std::chrono::nanoseconds(since_boot.tv_nsec));
}

}  // namespace

void take_memory_from(std::string_view meminfo, HostFacts& facts) {
  const std::array<std::pair<std::string_view, std::optional<std::uint64_t>*>, 4> wanted{{
      {"MemTotal:", &facts.memory_total},
      {"MemAvailable:", &facts.memory_available},
      {"SwapTotal:", &facts.swap_total},
      {"SwapFree:", &facts.swap_free},
  }};
  while (!meminfo.empty()) {
    std::string_view line = take_until('\n', meminfo);  // "MemTotal:       16384256 kB"
    for (const auto& [name, place] : wanted) {
      if (!line.starts_with(name) || !line.ends_with(" kB")) continue;
      std::string_view number = line.substr(name.size(), line.size() - name.size() - 3);
      number.remove_prefix(std::min(number.find_first_not_of(' '), number.size()));
      if (const auto kilobytes = from_decimal(number); kilobytes && *kilobytes < UINT64_MAX / 1024) {
        *place = *kilobytes * 1024;
      }
    }
  }
}

void take_load_from(std::string_view loadavg, HostFacts& facts) {
  for (std::optional<std::uint64_t>* const place : {&facts.load1, &facts.load5, &facts.load15}) {
    *place = hundredths_from(take_until(' ', loadavg));
  }
}

std::string os_name_from(std::string_view os_release) {
  constexpr std::string_view key = "PRETTY_NAME=";
  while (!os_release.empty()) {
    std::string_view value = take_until('\n', os_release);
    if (!value.starts_with(key)) continue;
    value.remove_prefix(key.size());
    const bool is_quoted = value.size() >= 2 && value.front() == value.back() && (value[0] == '"' || value[0] == '\'');
    if (is_quoted) value = value.substr(1, value.size() - 2);
    return std::string(value.substr(0, longest_fact));
  }
  return {};
}

HostFacts read_host_facts(int base_directory) {
  HostFacts facts;
  facts.cpus = usable_cpus();
  utsname names{};
  if (::uname(&names) == 0) {
    facts.machine = names.machine;
    facts.release = names.release;
    facts.hostname = names.nodename;
  }
  facts.os = os_name_from(start_of_file("/etc/os-release"));
  take_memory_from(start_of_file("/proc/meminfo"), facts);
  take_load_from(start_of_file("/proc/loadavg"), facts);
  take_disk(base_directory, facts);
  take_uptime(facts);
  facts.clock = std::chrono::system_clock::now();
  return facts;
}

}  // namespace remsh
