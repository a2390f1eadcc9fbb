// Servant: what a simulated slave does for the calls that it serves.
#pragma once

#include "sim/end.hpp"
#include "sim/story.hpp"
#include "sim/world.hpp"

#include <cstdint>
#include <memory>

namespace remsh::sim {

/// The users of a slave: each call is served as its story has it, which is drawn when the call comes.
class Servant {
 public:
  Servant(World& world, const Plan& plan, Stories& stories, End& end)
      : world_(world), plan_(plan), stories_(stories), end_(end) {}

  // Of the slave, as Watching has them.

  void on_service(std::shared_ptr<rpc::OpenService> service);
  void on_service_changed(rpc::OpenService& service);
  void on_room();

  /// Bytes of input.
  [[nodiscard]] std::uint64_t moved() const noexcept { return moved_; }

 private:
  void drive(Story& story);
  void read_input(Story& story);
  void produce(Story& story);
  void answer(Story& story);
  [[nodiscard]] Story& story_of(const rpc::OpenService& service);

  World& world_;
  const Plan& plan_;
  Stories& stories_;
  End& end_;
  std::uint64_t moved_ = 0;
};

}  // namespace remsh::sim
