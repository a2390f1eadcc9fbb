// Peer: a session and its engine under one mutex: which thread reads, which one writes, which one is woken.
//
// docs/threading.md has the rules that this file follows: roles, watch, the two invariants. In short: the thread that
// waits for an answer reads the connection itself; the io thread reads only if no other thread does; a thread that
// finds queued boxes and no writer writes them; and settle(), before every unlock, ensures that every pending read and
// write has an owner.
#pragma once

#include "base/operations_end.hpp"
#include "base/result.hpp"
#include "rpc/engine.hpp"
#include "rpc/peer_group.hpp"
#include "rpc/stuck_thread.hpp"
#include "rpc/waiter.hpp"
#include "session/link.hpp"
#include "session/session.hpp"
#include "transport/loop.hpp"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <forward_list>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace remsh::rpc {

class Call;
class CallInput;
class PeerService;
class Server;

/// One session after its handshake: many calls at once in both directions, without a thread of its own. Thread-safe.
///
/// Most connections of a master are idle, so what only some need, or only now and then, is allocated on demand.
class Peer : public std::enable_shared_from_this<Peer>, public Watched, private Engine::Events {
 public:
  using Options = PeerGroup::Options;

  /// A peer without a connection: calls fail until open().
  explicit Peer(std::shared_ptr<PeerGroup> group);

  /// Takes over a connection; `already_read` are the bytes that came after the handshake. Call it once.
  void open(std::unique_ptr<Transport> transport, BytesView already_read = {});

  /// In place of open(), if there will never be a connection.
  void fail(Failure failure);

  /// Makes a peer with its connection, in a group of its own.
  static std::shared_ptr<Peer> start(std::unique_ptr<Transport> transport, std::shared_ptr<Loop> loop, Options options,
                                     BytesView already_read = {}, bool compresses = false);

  /// Both sides have agreed to compress the data of streams. Call it before open().
  void use_compression();

  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  virtual ~Peer();

  /// Says goodbye and ends the session. Calls fail with this reason, or with that of an earlier cut. Returns at once.
  void close(Failure why, std::optional<std::uint64_t> retry = {});
  void close(const std::string& reason, std::optional<std::uint64_t> retry = {}) {
    close(Failure{Errc::connection_lost, reason, 0, DisconnectReason::closed_here}, retry);
  }

  /// Announces that this side will end within this time; once. Returns at once.
  void drain(BytesView reason, std::chrono::milliseconds within);

  /// The announcement of the other side that it will end; nullopt if there is none.
  [[nodiscard]] std::optional<Session::Draining> draining() const;
  [[nodiscard]] bool is_draining() const;

  /// Session::set_keepalive().
  void set_keepalive(Duration keepalive, Duration patience);

  /// Whether the connection is gone and the session is not over.
  [[nodiscard]] bool is_cut() const;

  /// Ends the session if it is cut: calls fail with the reason of the cut. Returns at once.
  void give_up();

  /// Why the session is over. nullopt if it is not, even if it is cut.
  [[nodiscard]] std::optional<Failure> ended() const;

  /// Why no further call can be made: the session is cut or over, or we are ending it.
  [[nodiscard]] std::optional<Failure> closed() const;
  [[nodiscard]] std::optional<Session::Goodbye> said_goodbye() const;

  /// Sends the calls of this thread's PeerBatch, at its end.
  void send_waiting();

  /// The id of our next call.
  [[nodiscard]] std::uint64_t next_call() const;

  /// Notes `end` when the other side has answered all our calls with ids in its range (those whose callers have left
  /// included), or when the session is over. If that is so already, notes it at once, in this thread.
  void notify_when_over(std::unique_ptr<OperationsEnd> end) noexcept;

  /// Waits until the session is over, all callers have left and all worker threads have returned. Call it after
  /// close(), and never on the loop, in a callback, or in a served operation. The owner of a serving peer must call
  /// this function, or the next one, before releasing the peer.
  void wait_until_left();

  /// The same, but waits for worker threads only until then. Returns those that are still in an operation.
  [[nodiscard]] std::vector<StuckThread> wait_until_left(TimePoint until);

  [[nodiscard]] Loop& loop() const noexcept { return *group_->loop(); }
  [[nodiscard]] TimePoint now() const noexcept { return loop().now(); }

  // Watched
  void on_ready(std::uint32_t number, Ready directions) override;

 protected:
  [[nodiscard]] PeerGroup& group() const noexcept { return *group_; }

 private:
  friend class Call;
  friend class CallInput;
  friend class PeerGroup;
  friend class PeerService;
  friend class Server;

  /// A lock on the mutex. Every unlock goes through this class: it checks the invariants, and notifies services of
  /// their changes after the unlock.
  class Locked {
   public:
    explicit Locked(Peer& peer) : peer_(peer) { lock(); }
    Locked(const Locked&) = delete;
    Locked& operator=(const Locked&) = delete;
    ~Locked() {
      if (held_) unlock();
    }
    void lock() {
      peer_.mutex_.lock();
      held_ = true;
    }
    void unlock();
    [[nodiscard]] bool is_held() const noexcept { return held_; }

   private:
    Peer& peer_;
    bool held_ = false;
  };

  // Engine::Events
  void on_call_changed(OpenCall& call) override;
  void on_service(std::shared_ptr<OpenService> service) override;
  void on_service_changed(OpenService& service) override;
  void on_ping() override;

  // All of these under the mutex.
  void settle();
  void check() const;
  void flush(Locked& lock);
  void take_in(const IoResult& result, BytesView bytes, std::size_t again, ReadBuffer& buffer);
  void lead(Locked& lock, Waiter& me, TimePoint deadline);
  void wait_for(Locked& lock, Waiter& me, TimePoint deadline, HasWork has_work);
  void resign(const Waiter& me);
  [[nodiscard]] Waiter*& list_of(const Waiter& waiter) noexcept { return waiter.is_polled ? suspended_ : parked_; }
  void park(Waiter& waiter);
  void unlink(Waiter& waiter);
  void wake(Waiter& waiter);
  void wake_call(std::uint64_t id);
  void wake_feeders(const OpenCall& call);
  void wake_for_room();
  void send_batch(Locked& lock, const OpenCall& call);
  BoxData box_data(Locked& lock, Block block, std::size_t count);
  void look_at_session();
  void tell_draining();
  [[nodiscard]] bool is_over() const noexcept { return session_.is_over(); }
  [[nodiscard]] std::size_t room(std::uint64_t credit) const;
  [[nodiscard]] bool lacks_room(std::uint64_t credit) const;

  // Lazy arming: between readers that follow each other closely no thread reads and nothing is armed.
  void expect_reader(TimePoint at);
  void expect_no_reader();
  [[nodiscard]] bool is_another_calling(const OpenCall& call, TimePoint at) const;
  void start_rest();
  void on_rest_over();

  void look(TimePoint at);
  void look_later(TimePoint now);

  const std::shared_ptr<PeerGroup> group_;

  mutable std::mutex mutex_;
  Session session_;
  Link link_;  // from open() to the end, and until no thread reads or writes any more
  Engine engine_;

  // Roles and the watch.
  const Waiter* reader_ = nullptr;
  Waiter* heir_ = nullptr;
  Waiter* parked_ = nullptr;                        // waiters with a thread, which may become the heir
  Waiter* suspended_ = nullptr;                     // waiters without a thread
  std::forward_list<std::function<void()>> wakes_;  // wakers and on_ping, to be called after the unlock; newest first
  std::uint32_t promised_ = 0;                      // callers between append and write
  std::uint32_t room_waiters_ = 0;
  std::uint32_t inside_ = 0;  // callers inside their calls
  bool writing_ : 1 = false;
  bool polls_ : 1 = false;                // the reader waits for both directions
  bool resting_ : 1 = false;              // the loop checks within a slice, and arms then
  bool expected_ : 1 = false;             // expect_reader() was called since the last check
  bool has_led_ : 1 = false;              // a thread has led since the last check
  mutable bool lacked_room_ : 1 = false;  // a caller found the queue full since the last notification
  bool is_draining_told_ : 1 = false;
  bool is_cut_told_ : 1 = false;
  bool is_end_told_ : 1 = false;
  bool is_end_awaited_ : 1 = false;  // wait_until_left() was called
  TimePoint next_look_ = TimePoint::max();
  TimePoint last_expected_{};  // or, after expect_no_reader(), a slice from then

  OperationsEnds operations_ends_;  // to be noted after an unlock

  void tell_left();

  std::unique_ptr<Server> server_;  // null if this side does not serve
};

}  // namespace remsh::rpc
