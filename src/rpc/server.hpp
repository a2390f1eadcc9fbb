// Server: the threads that run the operations of a serving peer, and their queue.
#pragma once

#include "rpc/engine.hpp"
#include "rpc/peer.hpp"
#include "rpc/service.hpp"
#include "rpc/stuck_thread.hpp"
#include "rpc/waiter.hpp"

#include <remsh/base/deadline.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

namespace remsh::rpc {

/// Runs the operations of one serving peer concurrently. All of its state belongs to the peer's mutex.
///
/// A worker thread reads the connection as a caller does, runs what it has read, and sends all answers to one read in
/// one write. While it runs an operation nobody reads: arming the watch would cost two system calls per operation. A
/// tick of the loop makes that safe. If an operation is still running after a whole period, or a call has been waiting
/// that long, the tick makes the loop read on, sends the answers that were held back, and brings more workers. For a
/// while after that (a slow phase) each worker hands the connection over before it begins an operation.
///
/// See docs/threading.md, "The threads of a slave".
class Server {
 public:
  explicit Server(Peer& peer) : peer_(peer) {}
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Queues a call that has arrived.
  void add(std::shared_ptr<OpenService> call);

  /// Queues the next step of a service that runs in steps.
  void add(std::shared_ptr<PeerService> step);

  [[nodiscard]] bool has_work() const noexcept { return !ready_.empty(); }

  /// True if a tick is due that will make the peer's invariants true again, whatever a worker does meanwhile.
  [[nodiscard]] bool covers() const noexcept { return is_tick_due() && busy_ > 0; }

  /// True if the answer of the operation on this thread will be sent together with those to the whole read.
  [[nodiscard]] bool holds_back_answers() const noexcept;

  /// The connection has ended: drops calls that were not begun. Queued steps still run, and see the end.
  void end();

  /// True once the threads were taken out. Those that are stuck in an operation keep the peer alive until they return.
  [[nodiscard]] bool is_over() const noexcept { return is_over_; }

  /// How many workers have not returned.
  [[nodiscard]] std::size_t workers() const noexcept { return alive_; }

  /// Services to be notified of a change after the unlock; and those that found no room in the queue.
  std::vector<std::shared_ptr<PeerService>> to_tell;
  std::vector<std::weak_ptr<PeerService>> without_room;

  /// Takes the threads out: those that have returned, to be joined, and those that are stuck in an operation.
  struct Threads {
    std::vector<std::thread> returned;
    std::vector<StuckThread> stuck;
    std::shared_ptr<void> dropped;  // to be destroyed without the mutex
  };
  Threads take_threads();

 private:
  struct Job {
    std::shared_ptr<OpenService> call;  // to be begun, or
    std::shared_ptr<PeerService> step;  // to be continued
    std::uint64_t tick = 0;             // when it was queued
  };

  struct Worker {
    const Server* server = nullptr;
    std::thread thread;
    Waiter waiter;
    std::shared_ptr<const OpenService> call;  // the call that it runs
    std::uint64_t begun = 0;                  // the tick in which its operation began; 0 if it runs none
    TimePoint slow_since{};                   // when a tick first found that its operation had taken a whole period
    bool is_slow = false;                     // `slow_since` is set
    bool is_apart = false;     // the connection was handed over: this operation holds back nothing of others
    bool is_starting = false;  // its thread has not looked for work yet
    std::atomic<bool> has_returned{false};
  };

  [[nodiscard]] bool is_this_thread() const noexcept { return current != nullptr && current->server == this; }
  void run(Worker& me);
  void add(Job job);
  void do_next(Peer::Locked& lock, Worker& me);
  void bring(std::size_t wanted);
  bool start_worker();
  [[nodiscard]] std::size_t counted_workers(TimePoint at) const;
  [[nodiscard]] bool is_long(const Worker& worker, TimePoint at) const;
  [[nodiscard]] Duration period() const noexcept;
  [[nodiscard]] bool is_quick() const noexcept;

  /// Starts a tick if none is due, or if the one that is due is a far one of quick operations, and this one is nearer.
  void start_tick(Duration after);
  [[nodiscard]] bool is_tick_due() const noexcept { return tick_at_ != TimePoint::max(); }
  void on_tick(std::uint64_t number);
  bool find_slow(TimePoint at);

  static thread_local const Worker* current;

  Peer& peer_;
  std::deque<Job> ready_;  // bounded by the engine's limit of open services
  std::vector<std::shared_ptr<Worker>> workers_;
  std::size_t alive_ = 0;
  std::size_t busy_ = 0;                  // workers inside an operation
  std::uint64_t ticks_ = 1;               // how many there were; begins at 1
  std::uint64_t last_slow_ = 0;           // the tick that last found a slow operation
  std::size_t begun_ = 0;                 // operations since the last tick
  std::uint64_t slow_until_ = 0;          // the tick at which the slow phase ends
  bool is_crowded_ = false;               // since the last tick a call has waited, or may have, for a running operation
  TimePoint tick_at_ = TimePoint::max();  // when the next tick is due; max() if none is
  bool is_tick_far_ = false;              // the next tick was started with the long period of quick operations
  std::uint64_t tick_number_ = 0;         // of the last tick that was started
  Loop::TimerId tick_timer_ = 0;
  bool is_over_ = false;  // the threads were taken out, and there will be no more
};

}  // namespace remsh::rpc
