// FleetOrders and FleetPart: the processes of a fleet, and what they are told to do.
#pragma once

#include "os/unique_fd.hpp"

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace remsh::bench {

/// One end of a pair of sockets that carry short texts. One thread at a time.
class FleetOrders {
 public:
  explicit FleetOrders(UniqueFd socket) : socket_(std::move(socket)) {}

  [[nodiscard]] int descriptor() const noexcept { return socket_.get(); }

  void send(const std::string& text) const;

  /// The next text; nullopt if the other end is gone. Waits as long as it takes.
  [[nodiscard]] std::optional<std::string> receive() const;

 private:
  UniqueFd socket_;
};

/// This program once more, as a process that is one part of a fleet. One thread at a time.
class FleetPart {
 public:
  /// Starts the part with these arguments: see run_as_part_of_fleet().
  explicit FleetPart(const std::vector<std::string>& args);
  FleetPart(const FleetPart&) = delete;
  FleetPart& operator=(const FleetPart&) = delete;
  ~FleetPart();  ///< kills the process

  /// Tells the process to end by itself, and waits for that, but not for ever.
  void end();

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  void tell(const std::string& order) const { orders_.send(order); }

  /// The next answer. Throws if the process has ended, or says nothing for a minute.
  [[nodiscard]] std::string hear() const;

  [[nodiscard]] std::string ask(const std::string& order) const {
    tell(order);
    return hear();
  }

 private:
  FleetOrders orders_;
  pid_t pid_ = -1;
};

/// In main(): if this process was started as a part of a fleet it is one, and the exit code is returned.
std::optional<int> run_as_part_of_fleet(int argc, char** argv);

}  // namespace remsh::bench
