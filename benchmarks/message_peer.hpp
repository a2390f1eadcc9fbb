// MessagePeer: a process at the other end of message connections; and the same works between two Pythons.
#pragma once

#include <remsh/messages.hpp>

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace remsh::bench {

/// A forked child that is the client of one listener: it sends small messages back, and takes large ones. To be made
/// before this process has a second thread. One thread at a time.
class MessagePeer {
 public:
  MessagePeer();
  MessagePeer(const MessagePeer&) = delete;
  MessagePeer& operator=(const MessagePeer&) = delete;
  ~MessagePeer();  ///< ends the child

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  /// Has the child connect to a listener at this address. Call it once, first.
  MessageConnection connect(const std::string& address);

  static constexpr std::size_t small_message = 100;
  static constexpr std::size_t large_message = std::size_t{1} << 20U;

  /// Sends a small message, and waits until it is back.
  static void once(MessageConnection& connection);

  /// Sends this number of large messages, and waits until they have all arrived.
  static void send_large(MessageConnection& connection, std::uint64_t count);

 private:
  pid_t pid_ = -1;
  int addresses_ = -1;  // a pipe to the child
};

/// What two Pythons need for the same.
struct PythonFigures {
  double p50_us = 0;
  double mib_per_second = 0;
};

/// Measures two Pythons, each on its CPUs; nullopt if there is none. `family`: "AF_INET" or "AF_UNIX".
std::optional<PythonFigures> measure_pythons(const std::string& family, const std::vector<std::size_t>& cpus,
                                             const std::vector<std::size_t>& peer_cpus, double seconds,
                                             std::uint64_t bytes);

}  // namespace remsh::bench
