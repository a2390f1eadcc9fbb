// Resident: what a slave keeps across its connections.
#pragma once

#include "base/clock.hpp"
#include "rpc/served_calls.hpp"
#include "rpc/stuck_thread.hpp"
#include "slave/dispatcher.hpp"
#include "slave/execute.hpp"
#include "slave/log_ring.hpp"
#include "slave/slave_log.hpp"
#include "slave/stuck_threads.hpp"
#include "slave/workplace.hpp"
#include "transport/loop.hpp"

#include <remsh/slave/slave_server.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace remsh {

/// What one session of a master has on this slave. It is independent of the connection that carries the session.
struct ServedSession {
  std::shared_ptr<Workplace> workplace;          ///< where its relative paths begin
  std::shared_ptr<Loop> loop;                    ///< runs its commands
  std::shared_ptr<CommandSet> commands;          ///< those that it has started
  std::shared_ptr<const Dispatcher> dispatcher;  ///< the operations that it may call
};

/// What belongs to a slave and not to one of its connections: the operations of its owner, its directories, the
/// sessions of its masters with their commands, and the threads that have not returned. A connection
/// (SlaveServer::Impl::serve()) begins a session here, and ends it when the connection has ended. Thread-safe, after
/// the last add_operation().
class Resident {
 public:
  /// The options and the clock must outlive it.
  Resident(const SlaveOptions& options, const Clock& clock);
  Resident(const Resident&) = delete;
  Resident& operator=(const Resident&) = delete;

  /// Waits for running operations of the owner. Sessions must have ended.
  ~Resident();

  /// What a master's `shutdown` calls. Set it before the first session.
  using ShutDown = std::function<Result<void>(const operations::Shutdown::Request&)>;
  void on_shutdown(ShutDown shut_down) { shut_down_ = std::move(shut_down); }

  /// The lines that a master's `log_tail` gets. Set it before the first session.
  void set_log_ring(std::shared_ptr<const LogRing> ring) { log_ring_ = std::move(ring); }

  /// Adds an operation of the owner. False if there is one of this name.
  bool add_operation(std::string name, Operation operation);

  /// Opens the directory of the next session. Throws Error if it cannot be used, or if the policy is invalid.
  [[nodiscard]] std::shared_ptr<Workplace> open_workplace();

  /// Begins a session: a master has admitted the slave. `master` is its description, for the log.
  [[nodiscard]] ServedSession begin_session(std::shared_ptr<Workplace> workplace, const std::string& master = {});

  /// The connection of a session is gone, by a goodbye or by a cut. What that ends is decided here and nowhere else:
  /// its commands begin to end, because a session that is cut is given up today (decision 0023). When sessions can be
  /// resumed, this function will keep them. Returns at once.
  void connection_ended(const ServedSession& session);

  /// Ends a session that no thread uses any more. Waits until nothing is left of its commands, so that the next user of
  /// the slave finds none. That takes as long as their kill_after, but 5 s at most, and 5 s more for what cannot be
  /// killed.
  static void end_session(ServedSession session);

  /// Takes the threads of an ended connection that have not returned from their operations. The slave goes on without
  /// them.
  void leave_stuck(std::vector<rpc::StuckThread> threads, const std::string& peer);

  /// How many threads the next connection may have inside operations. Stuck threads count.
  [[nodiscard]] std::size_t max_threads();

  [[nodiscard]] std::vector<ServedOperation> operations_in_progress() const;

  [[nodiscard]] rpc::ServedCalls::Activity activity() const { return served_->activity(); }

 private:
  [[nodiscard]] bool is_allowed(const std::string& operation) const;
  [[nodiscard]] Dispatcher make_dispatcher(const std::shared_ptr<Workplace>& workplace,
                                           const std::shared_ptr<CommandSet>& commands, const std::string& master);
  void begin_to_clean(const std::shared_ptr<const Workplace>& workplace);

  const SlaveOptions& options_;
  const Clock& clock_;
  const SlaveLog log_;
  const CommandHooks hooks_;
  const std::shared_ptr<rpc::ServedCalls> served_;
  std::map<std::string, Operation, std::less<>> operations_;  // of the owner
  ShutDown shut_down_;
  std::shared_ptr<const LogRing> log_ring_;  // null: there is none

  std::mutex mutex_;  // guards the following members
  std::condition_variable changed_;
  unsigned user_operations_ = 0;  // running ones, and `shutdown`: they use what belongs to the owner, and the
                                  // destructor waits for them
  std::shared_ptr<const std::atomic<bool>> has_cleaned_;  // null: not begun

  StuckThreads stuck_threads_;
};

}  // namespace remsh
