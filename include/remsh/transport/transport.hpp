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

/// What one read or write gave.
struct IoResult {
  enum class Status : std::uint8_t {
    ok,           ///< `bytes` were moved; never 0
    would_block,  ///< nothing now: not within the wait that was allowed
    end,          ///< (read) the other side has sent everything and said so
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

/// Who is told when an armed transport becomes ready. Implemented by the library's io thread. Thread-safe.
class Watcher {
 public:
  /// Watch a descriptor for the directions once, level-triggered; replaces what was watched of it before. With
  /// Ready::none it is kept, but silent. The token comes back with the event.
  virtual void watch(int descriptor, Ready directions, std::uint64_t token) = 0;

  /// Forget a descriptor, before it is closed. Unknown ones are fine.
  virtual void forget(int descriptor) noexcept = 0;

  /// For transports without a descriptor: the directions are ready now.
  virtual void notify(std::uint64_t token, Ready directions) = 0;

 protected:
  ~Watcher() = default;
};

/// A reliable two-way stream of bytes; what a Connection runs on. An embedder may bring one.
///
/// At any time one thread may read, one may write, one may arm, and any may shut down. Nothing throws: failures are
/// values. The library guarantees that nobody is inside when the destructor runs.
class Transport {
 public:
  Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  virtual ~Transport() = default;

  /// The longest that read_some() may take in one go where `wait` is longer: a slice.
  static constexpr Duration slice = std::chrono::milliseconds(10);

  /// Reads what is there into `buffer`; waits for the first byte for `wait` at most (zero: not at all). It may wait up
  /// to a slice where `wait` is a slice or longer, and then says would_block.
  virtual IoResult read_some(std::span<char> buffer, Duration wait) = 0;

  /// Writes as much of the buffers, in order, as is taken without blocking.
  virtual IoResult write_some(std::span<const std::string_view> buffers) = 0;

  /// Waits until one of the directions is ready, the stream has ended or failed (then all asked for are), or the time
  /// is over (then none; also earlier, where a signal came). Called by the thread that reads, or the one that writes.
  virtual Ready wait(Ready directions, Duration wait) = 0;

  /// Tell `watcher` with `token` when one of the directions becomes ready, once; an event disarms both. A new call
  /// replaces the one before; Ready::none disarms. An event of the old arming may still come afterwards; and a pair of
  /// descriptors may tell of each direction, and of its shutdown.
  virtual void arm(Watcher& watcher, Ready directions, std::uint64_t token) = 0;

  /// The watcher will not be used any more; called once, before destruction, by who armed.
  virtual void disarm_for_good(Watcher& watcher) noexcept = 0;

  /// Ends both directions, from any thread; wakes a blocked reader, which then sees end or failure.
  virtual void shutdown() noexcept = 0;

  /// What the last failure was, if more is known of it than the error that read_some() or write_some() gave; else
  /// empty.
  [[nodiscard]] virtual std::string failure_words() const { return {}; }

  /// What binds a proof of identity to this very channel: empty where nothing does (RFC 5929 and 9266 say more).
  [[nodiscard]] virtual std::string channel_binding() const { return {}; }

  /// True where the operating system alone decides who is on the other side: socket pair, pipes of a child.
  [[nodiscard]] virtual bool is_inherited() const { return false; }

  /// The other side in words: "tcp 127.0.0.1:40112".
  [[nodiscard]] virtual std::string description() const = 0;
};

}  // namespace remsh
