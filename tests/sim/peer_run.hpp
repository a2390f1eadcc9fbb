// PeerRun: a real Peer and its callers against a simulated slave, in virtual time and one thread.
#pragma once

#include "rpc/call.hpp"
#include "rpc/peer.hpp"
#include "sim/end.hpp"
#include "sim/servant.hpp"
#include "sim/story.hpp"
#include "sim/wire.hpp"
#include "sim/wire_transport.hpp"
#include "sim/world.hpp"
#include "transport/loop.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

namespace remsh::sim {

/// The master's side is a Peer with calls, on a driven loop. A caller either polls, or waits as a thread does: it leads
/// or parks, and meanwhile everything else happens, other callers included. So callers are within each other, as deep
/// as `most_waiting`. The slave is an End, with the operations of a Servant.
class PeerRun final : private Watching {
 public:
  explicit PeerRun(World& world);

  /// The whole run. Throws Broken; then it must be left alone, as something may still be within the peer.
  void run();

  [[nodiscard]] std::string summary() const;
  [[nodiscard]] std::uint64_t moved() const noexcept { return moved_ + servant_.moved(); }
  [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }
  [[nodiscard]] std::size_t calls() const noexcept { return stories_.size(); }
  [[nodiscard]] const Plan& plan() const noexcept { return plan_; }

  /// How often it came to each way of a caller to wait.
  struct Ways {
    std::size_t polled = 0;
    std::size_t waited = 0;
    std::size_t waited_within = 0;  // another one that waited
    std::size_t deadlines = 0;
    std::size_t stops = 0;
    std::size_t cuts = 0;
    std::size_t drains = 0;
  };
  [[nodiscard]] const Ways& ways() const noexcept { return ways_; }

 private:
  struct Caller {
    std::atomic<std::uint64_t> id{0};
    Story* story = nullptr;  // null: the call was refused
    std::unique_ptr<rpc::Call> call;
    std::stop_source stop;
    bool may_be_stopped = false;
    TimePoint deadline = TimePoint::max();
    bool waits = false;      // as a thread
    bool is_driven = false;  // somewhere on the stack
    bool is_slow_now = false;
    bool is_done = false;
    bool leaves = false;
  };

  class Noted;

  // Watching, for the slave
  void on_call_changed(rpc::OpenCall&) override {}
  void on_service(std::shared_ptr<rpc::OpenService> service) override { servant_.on_service(std::move(service)); }
  void on_service_changed(rpc::OpenService& service) override { servant_.on_service_changed(service); }
  void on_room(std::size_t) override { servant_.on_room(); }
  void on_over(std::size_t) override {}

  // What drives the world.
  void step();
  void run_loop();
  [[nodiscard]] rpc::Peer::Options options_of_peer();

  // Callers.
  void make_call();
  void drive(Caller& caller);
  void drive_after(Duration wait, Caller& caller);
  std::optional<rpc::Call::Event> next_event(Caller& caller);
  bool go_on(Caller& caller);
  bool take_chunk(Caller& caller);
  void send(Caller& caller);
  void end(Caller& caller, const Box* results, const Failure* failure);
  void leave(Caller& caller);

  // The end.
  void decide_on_cut();
  void close(std::size_t side, const std::string& words);
  void ask_for_note();
  void begin_to_drain();
  void let_go_when_idle();

  // Invariants.
  void check();
  void check_note(const OperationRange& range);
  void check_all_is_over();
  [[nodiscard]] bool is_idle() const;
  [[nodiscard]] bool is_nothing_under_way() const;

  static constexpr unsigned most_waiting = 3;

  World& world_;
  const bool is_crowd_;
  Plan plan_;
  Wire wire_;
  Stories stories_;
  End slave_;
  Servant servant_;
  const std::shared_ptr<Loop> loop_;
  WireTransport::Fate transport_;
  std::shared_ptr<rpc::Peer> peer_;
  std::list<Caller> callers_;
  unsigned calls_left_;
  unsigned waiting_ = 0;  // callers on the stack
  bool is_in_loop_ = false;
  TimePoint alarm_{};  // when the loop is next due
  std::optional<TimePoint> end_begins_;
  unsigned cuts_ = 0;
  unsigned drains_told_ = 0;
  bool has_timed_out_ = false;  // a slave that was draining was not let go in time
  unsigned ends_ = 0;
  unsigned notes_ = 0;  // that are still to come
  std::string broken_;  // by a note, which cannot throw
  std::uint64_t moved_ = 0;
  std::uint64_t steps_ = 0;
  Ways ways_;
};

}  // namespace remsh::sim
