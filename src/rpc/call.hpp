// Call: one outgoing call, as its caller drives it.
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

/// One outgoing call. Its caller drives it with a loop over next(), and handles each event:
///
///     Call call(peer, "execute", arguments, Call::Kind::streaming, options);
///     for (;;) switch (call.next()) { case Call::Event::chunk: use(call.chunk().bytes()); break; ... }
///
/// Between two calls of next() no role and no lock is held, so user code may run there. A call that is destroyed before
/// it is settled is left: it is cancelled, and settled without its caller. One thread at a time. If a thread makes or
/// drives another call meanwhile, it must suspend or destroy that call before it goes on with this one, because
/// is_under_way_here() relies on that order.
///
/// A caller that does not want to wait suspends the call, and polls it when its waker runs. Meanwhile the io thread
/// reads for it. A suspended call does not delay the end of the connection.
class Call {
 public:
  enum class Kind : std::uint8_t { plain, streaming };
  enum class Event : std::uint8_t {
    chunk,     // see chunk(): valid until the next call of next()
    room,      // send() takes room() bytes now; only if asked for
    answered,  // see answer(); after all chunks
    failed,    // see failure(): from the other side, the connection, or the caller's deadline or stop token
  };

  /// `id` receives the call's id before anything is sent, and stays 0 if the call cannot be made. It must outlive the
  /// call.
  Call(std::shared_ptr<Peer> peer, BytesView command, const Box& arguments, Kind kind, const Patience& options,
       std::atomic<std::uint64_t>* id = nullptr);
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call();

  /// Waits for the next event.
  Event next(bool wants_room = false) { return *next_until(wants_room, TimePoint::max()); }

  /// As next(), but until `until` at most. If there is no event by then, suspends the call and returns nullopt.
  std::optional<Event> next_until(bool wants_room, TimePoint until);

  /// Returns the next event without waiting. If there is none, suspends the call and returns nullopt. Then `wake` is
  /// called once, by any thread, when polling again may make progress. It must not block, throw or call the peer.
  std::optional<Event> poll(bool wants_room, const std::function<void()>& wake);

  /// Leaves the call without a driving thread until the next call of next(), next_until() or poll().
  void suspend();

  /// Whether this thread is inside a call of that peer. If it is, it asks from a callback of that call.
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
  const Call* outer_ = nullptr;  // the call of this thread in whose callback this one is driven
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
  std::optional<Loop::TimerId> timer_;  // of the deadline, once the call was suspended
  std::optional<std::stop_callback<std::function<void()>>> on_stop_;
};

}  // namespace remsh::rpc
