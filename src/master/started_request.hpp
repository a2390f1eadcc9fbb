// Requests for slaves that were started, and for which no thread of the host waits: start_get_slave(), start_reserve().
#pragma once

#include "master/lease_maker.hpp"
#include "master/slave_request.hpp"
#include "os/parking.hpp"

#include <remsh/base/pending.hpp>
#include <remsh/master/lease.hpp>
#include <remsh/master/slave_collection.hpp>

#include <cstdint>
#include <exception>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <type_traits>
#include <utility>

namespace remsh {

class StartedRequests;

/// One started request. Its first look at the slaves is made in the thread that starts it. The rest, filters included,
/// runs in the thread of StartedRequests. It holds its outcome until that is taken: a lease that is never taken is
/// released with it.
class StartedRequest final : public QueuedRequest {
 public:
  StartedRequest(std::shared_ptr<SlavePool> pool, std::shared_ptr<StartedRequests> requests, ReserveOptions options,
                 bool alone);
  ~StartedRequest() override;

  [[nodiscard]] const char* operation() const noexcept { return wish_.operation(); }

  /// The outcome, when the request is done. Call it once.
  template <class T>
  T take() {
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    if constexpr (std::is_same_v<T, Lease>) {
      return std::move(lease_);
    } else {
      return std::move(slave_);
    }
  }

 private:
  friend class StartedRequests;
  enum class State : std::uint8_t { ready, waiting, running, done };

  void wake() noexcept override;
  bool step();
  void drop();

  const std::shared_ptr<SlavePool> pool_;
  const std::shared_ptr<StartedRequests> requests_;
  const ReserveOptions options_;
  const Deadline deadline_;
  std::stop_source stop_;
  const SlaveWish wish_;
  LeaseMaker lease_maker_;

  // For the thread that runs it, and for its owner when it is done.
  std::optional<SlaveRequest> request_;
  std::shared_ptr<Slave> slave_;
  Lease lease_;
  std::exception_ptr error_;

  // Guarded by the mutex of StartedRequests.
  State state_ = State::ready;
  bool woken_ = false;      // while it was running
  bool cancelled_ = false;  // its owner does not want it any more
  Waker waker_;
  Parking done_;
  std::list<std::shared_ptr<StartedRequest>>::iterator place_;
  std::optional<std::multimap<TimePoint, StartedRequest*>::iterator> timer_;

  struct OnStop {
    StartedRequest* request;
    void operator()() const noexcept;
  };
  std::optional<std::stop_callback<OnStop>> on_stop_;  // last: it is destroyed first, and then nothing wakes this
};

/// The started requests of one collection, and the thread that runs them, one step of one request at a time. The thread
/// starts with the first request. Thread-safe.
class StartedRequests {
 public:
  /// The functions of SlaveCollection.
  static Pending<std::shared_ptr<Slave>> start_get_slave(const std::shared_ptr<SlavePool>& pool,
                                                         const std::shared_ptr<StartedRequests>& requests,
                                                         GetSlaveOptions options);
  static Pending<Lease> start_reserve(const std::shared_ptr<SlavePool>& pool,
                                      const std::shared_ptr<StartedRequests>& requests, ReserveOptions options);

  StartedRequests() = default;
  StartedRequests(const StartedRequests&) = delete;
  StartedRequests& operator=(const StartedRequests&) = delete;

  /// Ends the thread. Unfinished requests then fail with Cancelled, and so do later ones. Not on the thread itself.
  void stop();

  [[nodiscard]] bool is_this_thread() const;

  // For the owner of a request.

  void add(const std::shared_ptr<StartedRequest>& request);
  bool poll(StartedRequest& request, const Waker& wake);
  bool wait_until(StartedRequest& request, TimePoint until);

  /// Ends the request, and waits for its filter if that is running, unless the filter itself calls this.
  void cancel(StartedRequest& request);

 private:
  friend class StartedRequest;
  using List = std::list<std::shared_ptr<StartedRequest>>;

  void wake(StartedRequest& request) noexcept;
  void make_ready(StartedRequest& request) noexcept;
  void run();
  void begin(StartedRequest& request) noexcept;
  void step(StartedRequest& request, std::unique_lock<std::mutex>& lock);
  void finish(StartedRequest& request, std::unique_lock<std::mutex>& lock);
  TimePoint expire(TimePoint now) noexcept;

  mutable std::mutex mutex_;
  List ready_;
  List others_;  // that wait, or are running
  std::multimap<TimePoint, StartedRequest*> timers_;
  Parking parking_;  // of the thread
  std::thread thread_;
  bool stopping_ = false;
};

}  // namespace remsh
