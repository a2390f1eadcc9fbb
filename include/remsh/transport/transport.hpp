// Transport: an abstract two-way stream of bytes.
#pragma once

#include <remsh/base/deadline.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace remsh {

/// Directions of a transport, as a set.
enum class Ready : std::uint8_t { none = 0, read = 1, write = 2, both = 3 };

constexpr Ready operator|(Ready a, Ready b) noexcept {
  return static_cast<Ready>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr Ready operator&(Ready a, Ready b) noexcept {
  return static_cast<Ready>(static_cast<unsigned>(a) & static_cast<unsigned>(b));
}
constexpr bool has(Ready set, Ready direction) noexcept { return (set & direction) == direction; }

/// The result of one read or write.
struct IoResult {
  enum class Status : std::uint8_t {
    ok,           ///< `bytes` were moved; never 0
    would_block,  ///< nothing was moved within the allowed wait
    end,          ///< (read) the other side has ended the stream
    failed,       ///< the stream is broken: see `error`
  };
  Status status = Status::would_block;
  std::size_t bytes = 0;
  int error = 0;  ///< an errno value when failed

  static constexpr IoResult moved(std::size_t bytes) noexcept { return {Status::ok, bytes, 0}; }
  static constexpr IoResult blocked() noexcept { return {}; }
  static constexpr IoResult ended() noexcept { return {Status::end, 0, 0}; }
  static constexpr IoResult broken(int error) noexcept { return {Status::failed, 0, error}; }
};

/// Gets the events of armed transports. Implemented by the library's io thread. Thread-safe.
class Watcher {
 public:
  /// Watches a descriptor for one event of the directions, level-triggered; replaces what was watched of it before.
  /// With Ready::none it stays registered without events. The token is passed with the event.
  virtual void watch(int descriptor, Ready directions, std::uint64_t token) = 0;

  /// Removes a descriptor, before it is closed. Unknown ones are ignored.
  virtual void forget(int descriptor) noexcept = 0;

  /// For transports without a descriptor: reports that the directions are ready now.
  virtual void notify(std::uint64_t token, Ready directions) = 0;

 protected:
  ~Watcher() = default;
};

/// A reliable two-way stream of bytes, on which a Connection runs. Host programs may implement their own.
///
/// At any time one thread may read, one may write, one may arm, and any may shut down. Nothing throws: failures are
/// values. The library guarantees that no thread is inside when the destructor runs.
class Transport {
 public:
  Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  virtual ~Transport() = default;

  /// A slice: the longest time that one read_some() may block, even if `wait` is longer.
  static constexpr Duration slice = std::chrono::milliseconds(10);

  /// Reads available bytes into `buffer`; waits for the first byte for at most `wait` (zero: not at all). If `wait` is
  /// a slice or longer, it may return would_block after a slice.
  virtual IoResult read_some(std::span<char> buffer, Duration wait) = 0;

  /// Writes as much of the buffers, in order, as possible without blocking.
  virtual IoResult write_some(std::span<const std::string_view> buffers) = 0;

  /// Waits until one of the directions is ready, the stream has ended or failed (returns all requested directions), or
  /// the time is over (returns none). It may return none earlier if a signal came. Called by the thread that reads or
  /// by the one that writes.
  virtual Ready wait(Ready directions, Duration wait) = 0;

  /// Arms the transport: reports to `watcher` with `token` when one of the directions becomes ready. One event disarms
  /// both directions. A new call replaces the previous one; Ready::none disarms. An event of a previous arming may
  /// still arrive later; a pair of descriptors may report each direction, and its shutdown, separately.
  virtual void arm(Watcher& watcher, Ready directions, std::uint64_t token) = 0;

  /// Ends the use of the watcher; called once, before destruction, by the thread that arms.
  virtual void disarm_for_good(Watcher& watcher) noexcept = 0;

  /// Ends both directions; may be called from any thread. A blocked reader wakes and sees the end or a failure.
  virtual void shutdown() noexcept = 0;

  /// A description of the last failure, if more is known than the errno value of read_some() or write_some(); else
  /// empty.
  [[nodiscard]] virtual std::string failure_words() const { return {}; }

  /// Binds a proof of identity to this channel; empty if there is nothing to bind to (see RFC 5929 and RFC 9266).
  [[nodiscard]] virtual std::string channel_binding() const { return {}; }

  /// True if the operating system alone determines the peer: a socket pair, or the pipes of a child.
  [[nodiscard]] virtual bool is_inherited() const { return false; }

  /// The other side in words: "tcp 127.0.0.1:40112".
  [[nodiscard]] virtual std::string description() const = 0;
};

}  // namespace remsh
