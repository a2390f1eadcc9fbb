// Watch: one-shot readiness of many descriptors.
#pragma once

#include "os/unique_fd.hpp"

#include <remsh/transport/transport.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace remsh {

/// A set of descriptors, each armed for at most one event: an epoll of its own. Thread-safe; watching a descriptor does
/// not wake a thread that waits for the set, except by the event.
class Watch {
 public:
  struct Event {
    std::uint64_t token;
    Ready directions;
  };

  /// The two highest bits of a token are reserved for the set.
  static constexpr std::uint64_t token_bits = ~std::uint64_t{0} >> 2U;

  /// Throws std::system_error if the system cannot make the set.
  Watch();

  /// Becomes readable when there are events, and again only after take() has returned them all.
  [[nodiscard]] int descriptor() const noexcept { return epoll_.get(); }

  /// Arms a descriptor, level-triggered, for one event; Ready::none keeps it without events. Returns an errno value or
  /// 0.
  int arm(int descriptor, Ready directions, std::uint64_t token) noexcept;

  /// Removes a descriptor, before it is closed: a duplicate in another process would keep it armed. Unknown ones are
  /// ignored.
  void forget(int descriptor) noexcept;

  /// Takes pending events, without waiting; fewer than the maximum means that these were all. An end or an error of the
  /// descriptor counts as all directions that were armed.
  std::span<const Event> take(std::span<Event> events);

  /// True if the system can wait for this kind of descriptor: false for regular files.
  static bool can_watch(int descriptor) noexcept;

 private:
  UniqueFd epoll_;
};

}  // namespace remsh
