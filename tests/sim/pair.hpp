// Pair: a master and a slave joined by a wire, what their users do, and what must hold whatever they do.
#pragma once

#include "sim/content.hpp"
#include "sim/end.hpp"
#include "sim/wire.hpp"
#include "sim/world.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace remsh::sim {

/// What kind of a run a seed is.
struct Plan {
  enum class Ending : std::uint8_t { quiet_goodbye, early_goodbye, cut };

  Wire::Options wire;
  End::Options master;
  End::Options slave;
  unsigned calls = 0;
  std::size_t most_data = 0;  // of one stream
  Duration most_pause{};      // of users who are slow
  unsigned slow_one_in = 1;   // so many of them
  unsigned leave_one_in = 1;  // so many callers leave before the answer
  Duration calls_within{};
  Ending ending = Ending::quiet_goodbye;
  Duration ends_after{};  // of an early goodbye, and of a cut whose byte was not reached
  std::size_t ends_side = 0;

  static Plan of(Chance& chance);
};

/// One call, as both of its users know it: the truth that is not on the wire.
struct Story {
  Story(std::uint64_t id, bool streams);

  const std::uint64_t id;
  const bool has_streams;

  // The caller.
  rpc::OpenCall* call = nullptr;  // until it leaves
  std::size_t input_left = 0;
  bool input_ended = false;
  Duration caller_pause{};  // between two chunks
  bool caller_waits = false;
  std::optional<rpc::Chunk> chunk;  // in use
  int outcomes = 0;

  // The server.
  std::shared_ptr<rpc::OpenService> service;  // until it answers
  std::array<std::size_t, rpc::stream_count> output_left{};
  bool reads_to_end = false;
  bool has_read_end = false;
  bool heeds_cancel = true;
  bool is_answering = false;
  Duration server_pause{};
  bool server_waits = false;
  bool served = false;
  bool answered = false;
  bool failed = false;
  Box results;

  std::array<Content, rpc::stream_count> sent;
  std::array<Content, rpc::stream_count> came;
};

class Pair final : private Watching {
 public:
  explicit Pair(World& world);

  /// The whole run. Throws Broken.
  void run();

  [[nodiscard]] std::string summary() const;
  [[nodiscard]] std::uint64_t moved() const noexcept { return moved_; }
  [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }
  [[nodiscard]] const Plan& plan() const noexcept { return plan_; }
  [[nodiscard]] std::size_t calls() const noexcept { return stories_.size(); }

 private:
  // Watching
  void on_call_changed(rpc::OpenCall& call) override;
  void on_service(std::shared_ptr<rpc::OpenService> service) override;
  void on_service_changed(rpc::OpenService& service) override;
  void on_room(std::size_t side) override;
  rpc::OpenCall* reader(std::size_t side) override;
  void has_read(std::size_t side, rpc::OpenCall* reader) override;
  void on_over(std::size_t side) override;

  // Callers.
  void make_call();
  void drive_caller(Story& story);
  void feed(Story& story);
  void take_chunks(Story& story, bool at_once);
  void take_one(Story& story);
  void use_up(Story& story);
  void leave(Story& story);
  void expect_outcome(const Story& story);

  // The server.
  void drive_server(Story& story);
  void read_input(Story& story);
  void produce(Story& story);
  void answer(Story& story);
  [[nodiscard]] Story& story_of(const rpc::OpenService& service);

  // Invariants.
  void check();
  void check_side(const End& end, const End& other);
  void check_credit(const rpc::OpenCall& call, const rpc::OpenService& service, bool is_quiet);
  void check_end_is_known(const End& end);
  [[nodiscard]] bool is_idle() const;
  [[nodiscard]] bool is_quiet() const;
  void check_over(const End& end);

  World& world_;
  Plan plan_;
  Wire wire_;
  std::map<std::uint64_t, Story> stories_;
  End master_;
  End slave_;
  unsigned calls_left_;
  std::size_t refused_ = 0;
  std::optional<TimePoint> end_begins_;  // of a goodbye
  std::uint64_t moved_ = 0;
  std::uint64_t steps_ = 0;
};

}  // namespace remsh::sim
