// LongLink: a link whose other end is far away, made in user space.
#pragma once

#include "os/unique_fd.hpp"

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace remsh::bench {

/// What a link does to the bytes that cross it, in each direction.
struct LinkOptions {
  double delay = 0.030;              ///< one way, in seconds
  double bytes_per_second = 12.5e6;  ///< 100 Mbit/s
  std::size_t one_lost_in = 0;       ///< of so many packets; it comes again after a round trip. 0: none is lost
};

/// A child process that accepts connections at its port, makes one onward for each, and passes on what comes at either
/// end, later. What is behind a lost packet waits for it, as under TCP; unlike TCP it never sends more slowly for a
/// loss. To be made before this process has a second thread. One thread at a time.
class LongLink {
 public:
  explicit LongLink(const LinkOptions& options);
  LongLink(const LongLink&) = delete;
  LongLink& operator=(const LongLink&) = delete;
  ~LongLink();  ///< ends the child

  /// To which port of this host connections go from now on.
  void lead_to(std::uint16_t port);

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

 private:
  std::uint16_t port_ = 0;
  UniqueFd orders_;
  pid_t pid_ = -1;
};

/// Two links that do the same: one for the limit, one for ours, which compresses or not.
struct LongLinks {
  LongLinks(std::string what, const LinkOptions& options, bool compressed = false)
      : name(std::move(what)), is_compressed(compressed), of_limit(options), of_ours(options) {}

  const std::string name;
  const bool is_compressed;
  LongLink of_limit;
  LongLink of_ours;
};

}  // namespace remsh::bench
