// Remsh1Backend::Turn: the exclusive use of the connection, for one operation.
#pragma once

#include "master/remsh1_backend.hpp"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

namespace remsh {

namespace remsh1 {

/// How many bytes the slave may leave unread before a sender waits.
inline constexpr std::size_t max_unwritten = std::size_t{256} * 1024;

/// The memory of an event that waits for its caller: small pieces of data cost more than their size.
inline std::size_t weight(const remsh1::MasterSession::Event& event) { return event.data.size() + 256; }

inline Failure lost_because(std::string what, int error = 0, DisconnectReason reason = DisconnectReason::cut) {
  return {Errc::connection_lost, std::move(what), error, reason};
}

inline Failure unsupported(const std::string& what) {
  return {Errc::unsupported, "the slave speaks remsh 1, which " + what, 0};
}

}  // namespace remsh1

/// The exclusive use of the connection, and the call in progress. One thread at a time. The destructor passes the turn
/// on, at once or when the slave has answered.
class Remsh1Backend::Turn {
 public:
  Turn(Remsh1Backend& backend, std::uint64_t number, const Patience& options)
      : backend_(backend), number_(number), options_(options) {
    const std::lock_guard lock(backend_.mutex_);
    ++backend_.inside_;
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn();

  /// Waits for the turn, which comes when all operations that began earlier are over.
  Result<void> take();

  /// True if take() failed because another caller still has the turn.
  [[nodiscard]] bool was_outwaited() const noexcept { return outwaited_; }

  /// Makes a call and waits for its answer.
  Result<Box> ask(const Bytes& command, const Box& arguments);

  /// Waits for the next event of a call that goes on after its answer.
  Result<Event> next();

  /// Sends the next piece of a file. Waits until the slave has received enough of the earlier ones.
  Result<void> feed(BytesView bytes);

  /// Ends the file and waits for the answer.
  Result<Box> finish();

  /// Adds a call to those that are made at the end of the turn, in this order, however the turn ends.
  void at_end(Bytes command, Box arguments, bool is_vital);
  void forget_last_calls();

  /// If the caller leaves the next command, the command is not killed: it ends soon by itself.
  void let_it_end() noexcept { is_brief_ = true; }

 private:
  template <class Condition>
  bool wait(std::unique_lock<std::mutex>& lock, std::condition_variable_any& changed, Condition condition) const;
  [[nodiscard]] bool is_impatient() const {
    return options_.stop.stop_requested() || options_.deadline.has_passed(backend_.loop_->now());
  }
  [[nodiscard]] Failure impatience() const;
  Result<Box> answer();

  Remsh1Backend& backend_;
  const std::uint64_t number_;  // of the operation
  const Patience& options_;
  const TimePoint begun_ = backend_.loop_->now();
  bool has_turn_ = false;
  bool outwaited_ = false;
  bool is_brief_ = false;
};

}  // namespace remsh
