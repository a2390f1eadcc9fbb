// FakeServedCall: a call without a connection, for tests of the code that serves it.
#pragma once

#include "rpc/served_call.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh::test {

/// Plays the caller: feeds input, grants room, cancels, and keeps what was sent and answered. Thread-safe.
///
///     auto call = std::make_shared<FakeServedCall>("stat", Box{{"path", "/"}});
///     dispatcher.dispatch(call);
///     CHECK(call->outcome()->get("type") == "directory");
///
/// Functions that wait throw after a minute, so that a test fails instead of hanging.
class FakeServedCall final : public rpc::ServedCall {
 public:
  explicit FakeServedCall(std::string command, Box arguments = {})
      : command_(std::move(command)), arguments_(std::move(arguments)) {}
  ~FakeServedCall() override { unlist(); }

  // The test's side.

  /// The next piece of the input, and its end.
  void feed(Bytes bytes) { put({.stream = rpc::StreamName::in, .owned = std::move(bytes)}); }
  void end_input() { put({.stream = rpc::StreamName::in, .last = true}); }

  /// From now on a stream has this much room, instead of any amount.
  void set_room(rpc::StreamName stream, std::size_t bytes) {
    change([&] { room_[index(stream)] = bytes; });
  }
  void add_room(rpc::StreamName stream, std::size_t bytes) {
    change([&] { room_[index(stream)] += bytes; });
  }

  void cancel() {
    change([&] { cancelled_ = true; });
  }

  /// Ends the connection: a cancel, and no caller waits for the answer.
  void lose() {
    change([&] { cancelled_ = lost_ = true; });
  }

  /// Hands another call over to this one. It is answered without results if this one is over before it takes it.
  void hand(std::shared_ptr<ServedCall> request) {
    change([&] { requests_.push_back(std::move(request)); });
    if (is_over()) answer_requests();
  }

  /// Waits for the answer or the failure, and returns the first.
  Result<Box> outcome() {
    std::unique_lock lock(mutex_);
    wait(lock, [&] { return outcome_.has_value(); });
    return *outcome_;
  }

  [[nodiscard]] bool is_over() const {
    const std::lock_guard lock(mutex_);
    return outcome_.has_value();
  }

  /// What was sent on a stream so far.
  [[nodiscard]] Bytes sent(rpc::StreamName stream) const {
    const std::lock_guard lock(mutex_);
    return sent_[index(stream)];
  }

  /// What was sent of a log file so far.
  [[nodiscard]] Bytes log(std::uint64_t number) const {
    const std::lock_guard lock(mutex_);
    const auto found = logs_.find(number);
    return found == logs_.end() ? Bytes() : found->second;
  }

  /// Waits until what was sent of a log file is this.
  bool wait_log(std::uint64_t number, const Bytes& content) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::minutes(1), [&] { return logs_[number] == content; });
  }

  /// Waits until at least `bytes` bytes were sent on a stream.
  Bytes wait_sent(rpc::StreamName stream, std::size_t bytes) {
    std::unique_lock lock(mutex_);
    wait(lock, [&] { return sent_[index(stream)].size() >= bytes; });
    return sent_[index(stream)];
  }

  /// Waits until at least `bytes` bytes of the input were used up.
  void wait_used(std::uint64_t bytes) {
    std::unique_lock lock(mutex_);
    wait(lock, [&] { return used_ >= bytes; });
  }

  /// How many bytes of the input were used up.
  [[nodiscard]] std::uint64_t used() const {
    const std::lock_guard lock(mutex_);
    return used_;
  }

  [[nodiscard]] std::optional<std::uint64_t> announced_total() const {
    const std::lock_guard lock(mutex_);
    return total_;
  }

  /// How many pieces of output were sent, and how often output was flushed.
  [[nodiscard]] std::size_t pieces() const {
    const std::lock_guard lock(mutex_);
    return pieces_;
  }
  /// The time that each piece of send() has.
  [[nodiscard]] std::vector<std::optional<std::uint64_t>> times() const {
    const std::lock_guard lock(mutex_);
    return times_;
  }
  [[nodiscard]] std::size_t flushes() const {
    const std::lock_guard lock(mutex_);
    return flushes_;
  }

  /// Sets a hook that runs when `number` pieces were sent, in the sending thread, which goes on after it.
  void at_piece(std::size_t number, std::function<void()> hook) {
    const std::lock_guard lock(mutex_);
    hook_at_ = number;
    hook_ = std::move(hook);
  }

  // ServedCall.

  [[nodiscard]] const std::string& command() const noexcept override { return command_; }
  [[nodiscard]] const Box& arguments() const noexcept override { return arguments_; }
  void answer(Box results) override { settle(std::move(results)); }
  void fail(Failure failure) override { settle(std::move(failure)); }

  [[nodiscard]] bool cancelled() const override {
    const std::lock_guard lock(mutex_);
    return cancelled_;
  }

  [[nodiscard]] bool lost() const override {
    const std::lock_guard lock(mutex_);
    return lost_;
  }

  void announce_total(std::uint64_t bytes) override {
    const std::lock_guard lock(mutex_);
    if (pieces_ == 0) total_ = bytes;
  }

  bool write(rpc::StreamName stream, Block block, std::size_t count) override {
    std::unique_lock lock(mutex_);
    const char* data = block.payload().data();
    while (count > 0) {
      wait(lock, [&] { return cancelled_ || room_[index(stream)] > 0; });
      if (cancelled_) return false;
      const std::size_t part = std::min(count, room_[index(stream)]);
      take_output(lock, stream, data, part);
      data += part;
      count -= part;
    }
    return !cancelled_;
  }

  std::optional<std::string_view> read() override {
    std::unique_lock lock(mutex_);
    used_ += current_.size();
    current_.clear();
    changed_.notify_all();
    wait(lock, [&] { return cancelled_ || !input_.empty(); });
    if (cancelled_) return std::nullopt;
    if (input_.front().last) return std::string_view();
    current_ = std::move(input_.front().owned);
    input_.pop_front();
    return current_;
  }

  [[nodiscard]] std::size_t room(rpc::StreamName stream) const override {
    const std::lock_guard lock(mutex_);
    return room_[index(stream)];
  }

  void send(rpc::StreamName stream, Block block, std::size_t count, const rpc::PieceMarks& marks) override {
    std::unique_lock lock(mutex_);
    times_.push_back(marks.at);
    if (marks.log) logs_[*marks.log].append(block.payload().data(), count);
    if (count > room_[index(stream)]) throw std::logic_error("FakeServedCall: more was sent than there was room for");
    take_output(lock, stream, block.payload().data(), count);
  }

  void flush() override {
    const std::lock_guard lock(mutex_);
    ++flushes_;
  }

  std::optional<rpc::Chunk> take() override {
    const std::lock_guard lock(mutex_);
    if (input_.empty()) return std::nullopt;
    rpc::Chunk chunk = std::move(input_.front());
    input_.pop_front();
    return chunk;
  }

  void consumed(const rpc::Chunk& chunk) override {
    const std::lock_guard lock(mutex_);
    used_ += chunk.bytes().size();
    changed_.notify_all();
  }

  void on_change(std::function<void()> callback) override {
    change([&] { callback_ = std::move(callback); });  // reports at once what has happened already
  }

  void run_on_change(std::function<void()> step) override { on_change(std::move(step)); }

  std::shared_ptr<ServedCall> take_request() override {
    const std::lock_guard lock(mutex_);
    if (requests_.empty()) return nullptr;
    auto request = std::move(requests_.front());
    requests_.pop_front();
    return request;
  }

 private:
  static constexpr std::size_t any_amount = SIZE_MAX;

  static std::size_t index(rpc::StreamName stream) { return static_cast<std::size_t>(stream); }

  void wait(std::unique_lock<std::mutex>& lock, const auto& condition) {
    if (!changed_.wait_for(lock, std::chrono::minutes(1), condition)) {
      throw std::runtime_error("FakeServedCall: waited for a minute");
    }
  }

  void put(rpc::Chunk chunk) {
    change([&] { input_.push_back(std::move(chunk)); });
  }

  // Calls the callback, on one thread at a time and without the lock.
  void change(const auto& modify) {
    std::unique_lock lock(mutex_);
    modify();
    changed_.notify_all();
    tell_again_ = true;
    if (telling_) return;
    telling_ = true;
    while (std::exchange(tell_again_, false)) {
      const auto callback = callback_;
      lock.unlock();
      if (callback) callback();
      lock.lock();
    }
    telling_ = false;
  }

  void take_output(std::unique_lock<std::mutex>& lock, rpc::StreamName stream, const char* data, std::size_t count) {
    sent_[index(stream)].append(data, count);
    if (room_[index(stream)] != any_amount) room_[index(stream)] -= count;
    ++pieces_;
    changed_.notify_all();
    if (hook_ && pieces_ == hook_at_) {
      const auto hook = std::exchange(hook_, nullptr);
      lock.unlock();
      hook();
      lock.lock();
    }
  }

  void settle(Result<Box> outcome) {
    unlist();
    {
      std::function<void()> dropped;  // declared first, so destroyed after the unlock
      const std::lock_guard lock(mutex_);
      if (outcome_) return;
      outcome_ = std::move(outcome);
      dropped = std::exchange(callback_, nullptr);
      changed_.notify_all();
    }
    answer_requests();
  }

  void answer_requests() {
    while (const auto request = take_request()) request->answer({});
  }

  const std::string command_;
  const Box arguments_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<ServedCall>> requests_;
  std::deque<rpc::Chunk> input_;
  Bytes current_;
  std::uint64_t used_ = 0;
  std::array<std::size_t, rpc::stream_count> room_{any_amount, any_amount, any_amount, any_amount, any_amount};
  std::array<Bytes, rpc::stream_count> sent_;
  std::map<std::uint64_t, Bytes> logs_;
  std::size_t pieces_ = 0;
  std::size_t flushes_ = 0;
  std::vector<std::optional<std::uint64_t>> times_;
  std::optional<std::uint64_t> total_;
  std::optional<Result<Box>> outcome_;
  bool cancelled_ = false;
  bool lost_ = false;
  std::function<void()> callback_;
  bool telling_ = false;
  bool tell_again_ = false;
  std::size_t hook_at_ = 0;
  std::function<void()> hook_;
};

}  // namespace remsh::test
