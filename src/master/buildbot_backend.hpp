// BuildbotBackend: drives a worker of Buildbot, by whichever of its protocols the worker speaks.
#pragma once

#include "master/admitted_backend.hpp"
#include "master/buildbot_group.hpp"
#include "master/buildbot_worker.hpp"
#include "master/byte_link.hpp"
#include "master/keepalive.hpp"
#include "master/running_operations.hpp"
#include "transport/loop.hpp"

#include <remsh/base/bytes.hpp>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace remsh {

/// An AdmittedBackend for a worker of Buildbot. Each operation is a BuildbotScript, a chain of the worker's commands.
/// The io thread reads the worker's messages and advances the scripts. The thread that waits for an operation runs its
/// callbacks (Work). Thread-safe.
class BuildbotBackend final : public AdmittedBackend,
                              public Watched,
                              public std::enable_shared_from_this<BuildbotBackend>,
                              private RunningOperations {
 public:
  BuildbotBackend(std::shared_ptr<BuildbotGroup> group, BuildbotInfo info);
  BuildbotBackend(const BuildbotBackend&) = delete;
  BuildbotBackend& operator=(const BuildbotBackend&) = delete;
  ~BuildbotBackend() override;

  /// The session in which the worker has logged in. On the loop, before open().
  void take_session(std::unique_ptr<buildbot::WorkerSession> session) { worker_.session = std::move(session); }

  void open(std::unique_ptr<Transport> transport) override;
  void fail(Failure failure) override;
  void wait_until_left() override;

  Started start(AskedOperation& operation, const Patience& options) override;
  [[nodiscard]] std::uint64_t next_operation() const override { return RunningOperations::next(); }
  void notify_when_over(std::unique_ptr<OperationsEnd> end) noexcept override { wait_for(std::move(end)); }
  void end_connection(Failure why) override;
  [[nodiscard]] std::optional<Failure> lost() const override;
  [[nodiscard]] std::optional<std::string> draining() const override;
  [[nodiscard]] bool is_draining() const override { return draining().has_value(); }
  bool set_keepalive(const Keepalive& keepalive) override;

  // Watched
  void on_ready(std::uint32_t number, Ready directions) override;

 private:
  class Locked;
  class Work;

  // All of these under the mutex.
  void take_in(const IoResult& result, BytesView bytes);
  void take_events();
  void take(buildbot::WorkerEvent event);
  [[nodiscard]] BuildbotScript* script_of(const std::string& command) const;
  void begin_draining(std::string why, std::optional<Duration> within);
  void declare_end(Failure failure);
  void limit_farewell();
  void go_on_with_farewell();
  void shut_worker_down();
  void close_soon();
  void begin_keepalive();
  void look_at_keepalive();
  void limit_backlog();
  /// Why no operation may begin now; nullopt if one may.
  [[nodiscard]] std::optional<Failure> why_busy() const;
  [[nodiscard]] bool wants_bytes() const;
  [[nodiscard]] bool has_room() const;

  /// The last step of a connection, on the loop.
  void close_link();

  [[nodiscard]] const Owner& owner() const noexcept override { return group_->owner(); }

  const std::shared_ptr<BuildbotGroup> group_;

  mutable std::mutex mutex_;
  BuildbotWorker worker_;
  ByteLink link_;
  std::condition_variable changed_;   // for the threads that drive
  std::vector<std::string> orphans_;  // commands of an earlier connection whose interruption is not confirmed

  // Liveness.
  Keepalive keepalive_;
  TimePoint heard_;                  // when the worker last said something
  std::optional<TimePoint> pinged_;  // since then
  std::optional<Loop::TimerId> keepalive_timer_;

  // The end.
  std::optional<std::string> draining_;
  std::optional<Failure> end_;
  bool is_shut_down_ = false;  // the process of the worker is to end
  bool link_closes_ = false;   // close_link() will run, or has
  bool is_closed_ = false;
  std::vector<std::thread::id> drivers_;  // threads that are inside an operation
  std::condition_variable left_;
};

}  // namespace remsh
