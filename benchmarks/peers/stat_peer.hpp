// The frame of a program that measures the stat of another library: a server in a child, and a client that asks it.
#pragma once

#include "machine.hpp"
#include "stat_bytes.hpp"
#include "timing.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace remsh::bench {

/// What a server answers.
struct StatAnswer {
  std::uint64_t size = 0;
  std::uint32_t mode = 0;
  std::int64_t mtime = 0;

  /// Asks the system, as our slave does.
  static StatAnswer of(const std::string& path) {
    struct stat what {};
    if (::stat(path.c_str(), &what) != 0) throw std::runtime_error("stat");
    return {static_cast<std::uint64_t>(what.st_size), what.st_mode & 07777U,
            what.st_mtim.tv_sec * std::int64_t{1'000'000'000} + what.st_mtim.tv_nsec};
  }
};

/// Serves on a port of the loopback that the system picks, which it passes on; does not return.
using Serve = std::function<void(const std::function<void(std::uint16_t port)>& is_at)>;

/// Connects to the port, and runs `measure` with a function that asks once and waits for the answer.
using Connect =
    std::function<void(std::uint16_t port, const std::function<void(const std::function<void()>& ask)>& measure)>;

/// "0,1" as CPUs.
inline std::vector<std::size_t> cpus_of(const std::string& text) {
  std::vector<std::size_t> cpus;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t used = 0;
    cpus.push_back(std::stoul(text.substr(at), &used));
    at += used + 1;
  }
  return cpus;
}

/// The program: SECONDS CPUS-OF-CALLER CPUS-OF-SERVER. Prints the median and the 99th of a hundred in microseconds, and
/// the CPU time of both sides for each call.
inline int stat_peer(int argc, char** argv, const Serve& serve, const Connect& connect) {
  try {
    if (argc != 4) throw std::invalid_argument("SECONDS CPUS-OF-CALLER CPUS-OF-SERVER");
    int channel[2];
    if (::pipe(channel) != 0) fail("pipe");
    const pid_t server = fork_child();  // before any library starts a thread
    if (server == 0) {
      serve([&](std::uint16_t port) { static_cast<void>(!::write(channel[1], &port, sizeof port)); });
      ::_exit(0);
    }
    std::uint16_t port = 0;
    ::close(channel[1]);
    if (::read(channel[0], &port, sizeof port) != sizeof port) throw std::runtime_error("the server does not start");
    connect(port, [&](const std::function<void()>& ask) {
      for (int i = 0; i < 100; ++i) ask();  // starts all threads
      place(::getpid(), cpus_of(argv[2]));
      place(server, cpus_of(argv[3]));
      const Latency latency = time_each(std::stod(argv[1]), server, ask);
      std::printf("%f %f %f\n", latency.p50_us, latency.p99_us, latency.cpu_us);
    });
    std::fflush(stdout);
    end_child(server);
    ::_exit(0);  // without the farewells of other libraries
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 1;
  }
}

}  // namespace remsh::bench
