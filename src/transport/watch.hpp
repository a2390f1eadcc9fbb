// Watch: one-shot readiness of many descriptors.
#pragma once

#include "os/unique_fd.hpp"

#include <remsh/transport/transport.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace remsh {

/// A set of descriptors, each armed for one event at most: an epoll of its own. Thread-safe; watching a descriptor does
/// not wake who waits for the set, except by the event.
class Watch {
 public:
  struct Event {
    std::uint64_t token;
    Ready directions;
  };

  /// The two highest bits of a token are the set's own.
  static constexpr std::uint64_t token_bits = ~std::uint64_t{0} >> 2U;

  /// Throws std::system_error where the system gives none.
  Watch();

  /// Becomes readable when there are events; not before take() has given all is it so again.
  [[nodiscard]] int descriptor() const noexcept { return epoll_.get(); }

  /// Arms a descriptor, level-triggered, for one event; Ready::none keeps it, silent. Gives an errno value or 0.
  int arm(int descriptor, Ready directions, std::uint64_t token) noexcept;

  /// Removes a descriptor, before it is closed: a duplicate in another process would keep it armed. Unknown is fine.
  void forget(int descriptor) noexcept;

  /// Takes events that are there, without waiting; fewer than asked for means that these were all. An end or error of
  /// the descriptor counts as all the directions that were asked for.
  std::span<const Event> take(std::span<Event> events);

  /// Whether the system can wait for this kind of descriptor: it cannot for regular files.
  static bool can_watch(int descriptor) noexcept;

 private:
  UniqueFd epoll_;
};

}  // namespace remsh
