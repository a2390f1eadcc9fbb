// Call: one call that we make, as its caller drives it.
#pragma once

#include "base/patience.hpp"
#include "base/result.hpp"
#include "connection/block.hpp"
#include "rpc/peer.hpp"
#include "rpc/stream.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/connection/box.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>

namespace remsh::rpc {

/// One call that we make, as its caller drives it: a loop over next(), in which the caller does what it is told.
///
///     Call call(peer, "execute", arguments, Call::Kind::streaming, options);
///     for (;;) switch (call.next()) { case Call::Event::chunk: use(call.chunk().bytes()); break; ... }
///
/// Between two calls of next() no role and no lock is held, so user code may run there. Destroyed before it is settled,
/// the call is left: cancelled, and settled quietly. One thread at a time. If a thread makes or drives another call
/// meanwhile, it must suspend or destroy that one before it goes on with this one, which is_under_way_here() relies on.
///
/// A caller that does not want to wait suspends it, and polls it when it is told that something has happened: the io
/// thread reads for it meanwhile. A suspended call keeps nobody from ending the connection.
class Call {
 public:
  enum class Kind : std::uint8_t { plain, streaming };
  enum class Event : std::uint8_t {
    chunk,     // see chunk(): valid until the next next()
    room,      // send() takes room() bytes now; only where asked for
    answered,  // see answer(); after all chunks
    failed,    // see failure(): the other side's, the connection's, or the caller's own patience
  };

  /// `id`: where its id is noted before anything is sent; stays 0 if the call cannot be made. It must outlive the call.
  Call(std::shared_ptr<Peer> peer, BytesView command, const Box& arguments, Kind kind, const Patience& options,
       std::atomic<std::uint64_t>* id = nullptr);
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call();

  /// Waits for what is to be done next.
  Event next(bool wants_room = false) { return *next_until(wants_room, TimePoint::max()); }

  /// As next(), but only until then: nothing, and suspended, where nothing has happened.
  std::optional<Event> next_until(bool wants_room, TimePoint until);

  /// What is to be done now. Nothing, and suspended, where there is nothing: then `wake` is called once, when it is
  /// worth to look again, by any thread: it must not block, throw or call the peer.
  std::optional<Event> poll(bool wants_room, const std::function<void()>& wake);

  /// Nobody is inside until the next of the three above.
  void suspend();

  /// Whether this thread is within a call of that peer: in a callback, since it asks.
  static bool is_under_way_here(const Peer& peer) noexcept;

  [[nodiscard]] const Chunk& chunk() const { return *chunk_; }
  [[nodiscard]] std::size_t room() const noexcept { return room_; }
  void send(Block block, std::size_t count);
  void end_input();
  [[nodiscard]] Box& answer();
  [[nodiscard]] TimePoint answered_at() const noexcept { return me_.settled_at; }
  [[nodiscard]] Failure& failure() { return *failure_; }

 private:
  Event fail(Failure failure);
  void stopped();

  // Under the mutex.
  void begin(Peer::Locked& lock, BytesView command, const Box& arguments, Kind kind, std::atomic<std::uint64_t>* id);
  void abandon() noexcept;
  std::function<void()> enter();
  void leave(std::function<void()> wake);
  void look_at_deadline();
  void use_up_chunk(Peer::Locked& lock);
  [[nodiscard]] std::size_t room_now(bool wants_room) const;
  std::optional<Event> take(bool wants_room);
  static bool is_last(std::optional<Event> event) noexcept;

  static thread_local const Call* innermost;

  const std::shared_ptr<Peer> peer_;
  const Call* outer_ = nullptr;  // of this thread, in a callback of which this one is driven
  bool is_inside_ = false;
  bool was_suspended_ = false;
  Waiter me_;
  OpenCall* call_ = nullptr;
  const TimePoint deadline_;
  TimePoint begun_{};
  const std::stop_token stop_;
  std::optional<Chunk> chunk_;
  std::optional<Failure> failure_;
  std::size_t room_ = 0;
  std::optional<Loop::TimerId> timer_;  // of the deadline, once it was suspended
  std::optional<std::stop_callback<std::function<void()>>> on_stop_;
};

}  // namespace remsh::rpc
