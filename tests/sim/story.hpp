// Plan and Story: what a run in virtual time is drawn from, and the truth about one of its calls.
#pragma once

#include "sim/content.hpp"
#include "sim/end.hpp"
#include "sim/wire.hpp"
#include "sim/world.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <numeric>
#include <optional>

namespace remsh::sim {

inline constexpr std::size_t master = 0;
inline constexpr std::size_t slave = 1;
inline constexpr Duration patience = std::chrono::hours(6);  // of the simulator: a run that takes longer has stalled
inline constexpr std::size_t max_box = 256 * 1024;           // of arguments and results here

/// Notices when nothing but pings has happened for long enough to say goodbye.
class Quiet {
 public:
  [[nodiscard]] bool is_long_enough(bool is_idle, TimePoint at) {
    if (!is_idle) {
      since_.reset();
    } else if (!since_) {
      since_ = at;
    }
    return is_idle && at - *since_ >= std::chrono::seconds(45);
  }

 private:
  std::optional<TimePoint> since_;
};

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
  bool drains = false;  // an early goodbye of the slave is announced
  Duration drains_within{};

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
  [[nodiscard]] std::size_t all_output_left() const {
    return std::accumulate(output_left.begin(), output_left.end(), std::size_t{0});
  }
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

/// By the ids of their calls.
using Stories = std::map<std::uint64_t, Story>;

/// What a caller has got is what its server has given, or the end of its session: one of `results` and `failure` is
/// null, and `over` is while the session is not over.
void expect_outcome(const World& world, const Story& story, const Box* results, const Failure* failure,
                    const Failure* over);

}  // namespace remsh::sim
