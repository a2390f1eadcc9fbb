// SlaveRequest: one call of get_slave() or reserve(), as a state machine.
#pragma once

#include "master/slave_pool.hpp"

#include <remsh/base/deadline.hpp>
#include <remsh/master/slave_filter.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

namespace remsh {

/// What a caller asks for. Its references must outlive the request.
struct SlaveWish {
  const SlaveFilter& filter;
  const SlaveCompare& compare;
  std::stop_token stop;
  bool explain = false;           ///< throw a Timeout that says why there is none
  SlavePool::Demand demand = {};  ///< `alone`: reserve()

  [[nodiscard]] const char* operation() const noexcept { return operation(demand.alone); }
  [[nodiscard]] static const char* operation(bool alone) noexcept { return alone ? "reserve" : "get_slave"; }
};

/// The share that these options of get_slave() and reserve() mean. Throws Error (invalid_argument).
[[nodiscard]] Share share_of(std::uint64_t slots, const std::map<std::string, std::uint64_t>& resources, bool alone);

/// Finds a slave, or waits for one in the queue of the pool. The driver calls step() until it is done, and again
/// whenever `self` was woken, the deadline has passed or a stop was requested. One thread at a time.
class SlaveRequest {
 public:
  SlaveRequest(SlavePool& pool, QueuedRequest& self, const SlaveWish& wish, Deadline deadline);
  SlaveRequest(const SlaveRequest&) = delete;
  SlaveRequest& operator=(const SlaveRequest&) = delete;
  ~SlaveRequest();

  /// Looks at the slaves that it may look at now. True if it is done; then result() has the slave. Throws what the
  /// filter throws, Cancelled after a stop, and Timeout if the deadline has passed and the caller wants an explanation.
  bool step();

  /// Null if the deadline has passed.
  [[nodiscard]] const std::shared_ptr<SlaveEntry>& result() const noexcept { return result_; }

  /// Of reserve(), when there is a result.
  [[nodiscard]] Tick lease() const noexcept { return lease_; }

 private:
  enum class Look : std::uint8_t { found, nothing, late };

  bool first_look();
  bool give_up();
  [[nodiscard]] bool is_late() const;
  Look look_in_turn();
  [[nodiscard]] bool accepts(const SlaveEntry& entry) const;
  std::shared_ptr<SlaveEntry> look(bool may_pass);
  std::shared_ptr<SlaveEntry> look_for_any(const SlaveEntries& in, Tick to, bool may_pass);
  std::shared_ptr<SlaveEntry> look_for_best(const SlaveEntries& in, Tick to, bool may_pass);
  [[nodiscard]] bool is_candidate(const SlaveEntry& entry, Tick to) const;
  bool try_take(SlaveEntry& entry, bool may_pass);
  void leave();

  SlavePool& pool_;
  QueuedRequest& self_;
  const SlaveWish& wish_;
  const Deadline deadline_;
  const TimePoint begun_;
  bool has_begun_ = false;
  Tick from_ = 0;  // it looks only at slaves that became free after this
  Tick seen_ = 0;  // it has looked at all slaves that became free up to this
  std::optional<SlavePool::Queue::iterator> place_;
  std::shared_ptr<SlaveEntry> result_;
  Tick lease_ = 0;
};

}  // namespace remsh
