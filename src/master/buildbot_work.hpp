// BuildbotBackend::Work: an operation of a Buildbot worker, driven by the thread that wants its outcome.
#pragma once

#include "base/patience.hpp"
#include "master/buildbot_backend.hpp"
#include "master/buildbot_script.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>

namespace remsh {

/// Gives the pieces of a script to the caller's callbacks, with no lock held, and enforces the caller's patience. The
/// script itself goes on without it. One thread at a time.
class BuildbotBackend::Work final : public detail::WorkOf<Result<void>> {
 public:
  Work(std::shared_ptr<BuildbotBackend> backend, AskedOperation& operation, const Patience& options);
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;
  ~Work() override;

  void suspend() override {}
  bool poll(const Waker& wake) override;
  bool wait_until(TimePoint until) override;
  Result<void> take() override { return std::move(outcome_); }

 private:
  class Inside;

  std::optional<BuildbotPiece> next();
  void handle(BuildbotPiece piece);
  [[nodiscard]] std::optional<Failure> impatience() const;
  void watch_deadline();
  void wake_driver();

  const std::shared_ptr<BuildbotBackend> backend_;
  AskedOperation& operation_;
  const Patience options_;
  const TimePoint begun_;
  std::shared_ptr<BuildbotScript> script_;  // null: it could not begin
  bool is_over_ = false;
  Result<void> outcome_;
  std::optional<Loop::TimerId> timer_;  // at the deadline, for a waker
  std::optional<std::stop_callback<std::function<void()>>> on_stop_;
};

}  // namespace remsh
