// Clock, CPUs, memory and scratch space of the machine that is measured on.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace remsh::bench {

/// Throws std::system_error with errno where a system call failed.
[[noreturn]] void fail(const std::string& what);

/// Seconds on the steady clock.
double now();

/// User and system time of a live process, in seconds.
double cpu_seconds(pid_t process);

/// Memory that a live process has for itself: touched pages that no file backs. In KiB.
double private_kib(pid_t process);

std::size_t thread_count(pid_t process);

/// Forks. The child, which gets 0, is killed if this process ends first.
pid_t fork_child();

/// Kills a child, and waits until it is gone.
void end_child(pid_t child) noexcept;

/// Waits until a child has ended by itself.
void await_end_of(pid_t child) noexcept;

/// Raises the soft limit of descriptors to the hard one.
void raise_descriptor_limit();

/// Raises the hard limit of descriptors as far as the system allows it, if a fleet of this size needs that and this
/// user may.
void make_room_for_fleet(std::size_t slaves);

/// How many slaves a fleet can have by the hard limit of descriptors, if one more tenth is to come, with some left for
/// other uses.
std::size_t largest_fleet();

/// The CPUs that this process may use, before place() changed that.
std::vector<std::size_t> usable_cpus();

/// Binds every thread that a process has now to one CPU, or to all of `cpus`. Threads that it starts later are bound as
/// those that start them.
void place(pid_t process, const std::vector<std::size_t>& cpus);

/// Where the two processes of a round trip run.
struct Placement {
  std::string name;
  std::vector<std::size_t> caller;
  std::vector<std::size_t> peer;
  bool has_goal;  ///< figures of processes that wander depend too much on the machine's mood
};

/// On one CPU, on two, and (last) on all of them.
std::vector<Placement> placements();

/// Memory that is resident for as long as this lives. One thread at a time.
class Ballast {
 public:
  explicit Ballast(std::size_t bytes);
  Ballast(const Ballast&) = delete;
  Ballast& operator=(const Ballast&) = delete;
  ~Ballast();

 private:
  void* memory_;
  std::size_t bytes_;
};

/// A directory of our own, in memory where there is room for `bytes`; removed with everything in it. One thread at a
/// time.
class Scratch {
 public:
  explicit Scratch(std::uint64_t bytes);
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::string operator/(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// How much of the CPUs was used by others since it was made. One thread at a time.
class Bystanders {
 public:
  Bystanders();

  /// A part of all CPUs, 0 to 1; true as far as our children have been waited for. Nothing where the system does not
  /// say.
  [[nodiscard]] std::optional<double> share() const;

 private:
  double busy_;
  double all_;
  double ours_;
};

}  // namespace remsh::bench
