// End: one side of a simulated pair: a session and its engine, driven as Peer drives them.
#pragma once

#include "rpc/engine.hpp"
#include "session/session.hpp"
#include "sim/wire.hpp"
#include "sim/world.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace remsh::sim {

/// What happens at an end. As Engine::Events: the functions must not call back.
class Watching {
 public:
  virtual void on_call_changed(rpc::OpenCall& call) = 0;
  virtual void on_service(std::shared_ptr<rpc::OpenService> service) = 0;
  virtual void on_service_changed(rpc::OpenService& service) = 0;
  virtual void on_room(std::size_t side) = 0;
  virtual void on_over(std::size_t side) = 0;

 protected:
  ~Watching() = default;
};

class End final : private rpc::Engine::Events {
 public:
  /// As Peer's: more data than this is not queued.
  static constexpr std::size_t max_queued_data = 512 * 1024;
  static constexpr Duration max_decision = std::chrono::seconds(2);  // about a session that is cut

  struct Options {
    rpc::Engine::Options engine;
    Session::Options session;
    bool compresses = false;
  };

  End(World& world, Wire& wire, std::size_t side, const Options& options, Watching& watching)
      : options_(options), world_(world), wire_(wire), side_(side), watching_(watching) {
    wire_.sides[side].on_bytes = [this](BytesView bytes) { read(bytes); };
    wire_.sides[side].on_end = [this] {
      if (session.is_over()) return;
      session.cut();
      look_at_session();
    };
    wire_.sides[side].on_room = [this] { pump(); };
    if (options.compresses) engine.use_compression();
    session.attach(world_.now());
    look();
  }

  /// To be called after anything was queued: writes what the wire takes, soon.
  void pump_soon() {
    if (std::exchange(pumps_, true)) return;
    world_.soon([this] {
      pumps_ = false;
      pump();
    });
  }

  void close(const std::string& reason) {
    if (!session.close({Errc::connection_lost, reason, 0, DisconnectReason::closed_here}, {})) return;
    world_.note(name() + " says goodbye");
    look_at_session();
    pump();
  }

  void drain(Duration within) {
    world_.note(name() + " is draining");
    world_.expect(session.drain("enough", std::chrono::ceil<std::chrono::milliseconds>(within)), name(),
                  " cannot announce its end");
    pump();
  }

  [[nodiscard]] std::size_t room(std::uint64_t credit) const {
    if (session.is_over() || session.data_bytes() >= max_queued_data) return 0;
    return static_cast<std::size_t>(std::min<std::uint64_t>(credit, Block::max_payload));
  }

  [[nodiscard]] std::string name() const { return side_ == 0 ? "the master" : "the slave"; }

 private:
  const Options options_;

 public:
  Session session{options_.session};
  rpc::Engine engine{options_.engine, session, *this};

 private:
  void on_call_changed(rpc::OpenCall& call) override { watching_.on_call_changed(call); }
  void on_service(std::shared_ptr<rpc::OpenService> service) override { watching_.on_service(std::move(service)); }
  void on_service_changed(rpc::OpenService& service) override { watching_.on_service_changed(service); }

  void pump() {
    if (!session.is_attached()) return;
    bool is_broken = false;
    for (int round = 0; round < 4 && session.has_output() && !is_broken; ++round) {
      std::array<std::string_view, 8> views;
      const std::size_t count = session.gather(views);
      std::size_t written = 0;
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t taken = wire_.write(side_, views[i], is_broken);
        written += taken;
        if (taken < views[i].size()) break;
      }
      session.written(written, world_.now());
      if (!session.is_closing()) engine.send_waiting();
      if (written == 0) break;
    }
    if (is_broken) {
      session.drop_output();
      session.suspect({Errc::connection_lost, "the write failed", 0});
      wire_.close(side_);
    } else if (session.is_closing()) {
      wire_.close(side_);
    } else if (session.has_output() && wire_.under_way(side_) == 0) {
      pump_soon();  // the wire would have taken more
    }
    watching_.on_room(side_);
  }

  void read(BytesView bytes) {
    if (!session.is_attached()) return;
    while (!bytes.empty()) {
      const std::span<char> room = buffer_.room();
      const std::size_t again = session.take_unfinished(room);
      const std::size_t count = bytes.copy(room.data() + again, room.size() - again);
      bytes.remove_prefix(count);
      session.receive({room.data(), again + count}, world_.now(), again);
      while (const BoxView* const box = session.next()) {
        auto received = engine.receive(*box, buffer_.memory());
        world_.expect(received.ok(), name(), " accuses the other side of ",
                      (received ? "" : received.failure().message));
      }
      buffer_.fill(again + count);
    }
    look_at_session();
    pump_soon();
  }

  /// As Peer: a session that is cut is given up when its owner has decided so.
  void look_at_session() {
    if (session.is_cut() && !std::exchange(is_cut_told_, true)) {
      wire_.close(side_);
      world_.after(world_.chance.up_to(max_decision), [this] {
        if (!session.is_cut()) return;
        session.give_up();
        look_at_session();
      });
    }
    if (!session.is_over() || std::exchange(is_end_told_, true)) return;
    world_.note(name() + ": " + session.over()->message);
    wire_.close(side_);
    engine.end(*session.over());
    watching_.on_over(side_);
  }

  void look() {
    if (session.is_over()) return;
    switch (session.look(world_.now())) {
      case Session::Pulse::good: break;
      case Session::Pulse::ping_due:
        engine.ping();
        pump_soon();
        break;
      case Session::Pulse::lost:
        world_.expect(wire_.is_cut(), name(), " gives up the other side, which is there");
        wire_.close(side_);
        break;
    }
    session.give_back();
    engine.give_back();
    const TimePoint next = session.next_look(world_.now());
    if (next != TimePoint::max()) world_.after(next - world_.now(), [this] { look(); });
  }

  World& world_;
  Wire& wire_;
  const std::size_t side_;
  Watching& watching_;
  rpc::ReadBuffer buffer_;
  bool pumps_ = false;
  bool is_cut_told_ = false;
  bool is_end_told_ = false;
};

}  // namespace remsh::sim
