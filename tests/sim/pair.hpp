// Pair: a master and a slave joined by a wire, what their users do, and what must hold whatever they do.
#pragma once

#include "sim/end.hpp"
#include "sim/servant.hpp"
#include "sim/story.hpp"
#include "sim/wire.hpp"
#include "sim/world.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace remsh::sim {

class Pair final : private Watching {
 public:
  explicit Pair(World& world);

  /// The whole run. Throws Broken.
  void run();

  [[nodiscard]] std::string summary() const;
  [[nodiscard]] std::uint64_t moved() const noexcept { return moved_ + servant_.moved(); }
  [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }
  [[nodiscard]] const Plan& plan() const noexcept { return plan_; }
  [[nodiscard]] std::size_t calls() const noexcept { return stories_.size(); }

 private:
  // Watching
  void on_call_changed(rpc::OpenCall& call) override;
  void on_service(std::shared_ptr<rpc::OpenService> service) override;
  void on_service_changed(rpc::OpenService& service) override;
  void on_room(std::size_t side) override;
  void on_over(std::size_t side) override;

  // Callers.
  void make_call();
  void drive_caller(Story& story);
  void feed(Story& story);
  void take_chunks(Story& story);
  void take_one(Story& story);
  void use_up(Story& story);
  void leave(Story& story);

  // The end.
  void close(std::size_t side, const std::string& words);
  void begin_to_drain();
  void let_go_when_idle();

  // Invariants.
  void check();
  void check_side(const End& end, const End& other);
  void check_credit(const rpc::OpenCall& call, rpc::OpenService& service, bool is_quiet);
  void check_end_is_known(const End& end);
  [[nodiscard]] bool is_idle() const;
  [[nodiscard]] bool is_quiet() const;
  void check_over(const End& end);
  void check_release();
  [[nodiscard]] bool is_nothing_under_way() const;

  World& world_;
  Plan plan_;
  Wire wire_;
  Stories stories_;
  End master_;
  End slave_;
  Servant servant_;
  unsigned calls_left_;
  std::size_t refused_ = 0;
  std::optional<TimePoint> end_begins_;  // of a goodbye
  bool has_drained_ = false;             // the slave has announced its end
  bool has_timed_out_ = false;           // and was not let go in time
  std::uint64_t moved_ = 0;
  std::uint64_t steps_ = 0;
};

}  // namespace remsh::sim
