// HealthWatch: asks the slaves of a collection how they are, and takes those that are not well out of service.
#pragma once

#include "os/parking.hpp"

#include <remsh/base/completion_queue.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/base/pending.hpp>
#include <remsh/master/health_limits.hpp>
#include <remsh/operations/host_facts.hpp>

#include <atomic>
#include <cstddef>
#include <memory>
#include <set>
#include <thread>
#include <vector>

namespace remsh {

class SlavePool;
struct SlaveEntry;

/// Asks all slaves of a pool for their facts, again and again, and tells the pool which are not well. It has one thread
/// for all of them. Each round asks the slaves that are in the pool then, except those that have not answered the last
/// question. At most `most_asked` questions are open. start() and stop() by one thread.
class HealthWatch {
 public:
  static constexpr std::size_t most_asked = 256;

  HealthWatch(std::shared_ptr<SlavePool> pool, const HealthLimits& limits);
  HealthWatch(const HealthWatch&) = delete;
  HealthWatch& operator=(const HealthWatch&) = delete;
  ~HealthWatch() { stop(); }

  void start();

  /// Cancels the open questions, and ends the thread. Not on the thread itself.
  void stop();

  /// Whether this thread is the one of the watch: it runs the audit hook of the listeners.
  [[nodiscard]] bool is_this_thread() const noexcept { return thread_.get_id() == std::this_thread::get_id(); }

 private:
  void run();
  void begin_round(TimePoint now);
  void ask_next();
  void ask(const std::shared_ptr<SlaveEntry>& entry);
  void answered(const std::shared_ptr<SlaveEntry>& entry, Pending<HostFacts> answer);
  void unanswered(const std::shared_ptr<SlaveEntry>& entry);

  const std::shared_ptr<SlavePool> pool_;
  const HealthLimits limits_;
  Parking parking_;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;

  // For the thread.
  CompletionQueue* queue_ = nullptr;
  std::vector<std::weak_ptr<SlaveEntry>> to_ask_;  // the next one is the last
  std::set<const SlaveEntry*> asked_;              // whose questions are open, which keep them alive
  TimePoint next_round_ = {};
};

}  // namespace remsh
