// PeerService: a ServedCall of a Peer.
#pragma once

#include "rpc/peer.hpp"
#include "rpc/served_call.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace remsh::rpc {

/// One incoming call of a Peer. Thread-safe; its state belongs to the peer's mutex.
class PeerService final : public ServedCall, public std::enable_shared_from_this<PeerService> {
 public:
  /// Under the peer's mutex.
  PeerService(std::shared_ptr<Peer> peer, std::shared_ptr<OpenService> state);
  ~PeerService() override;

  // On a worker of the server, without the mutex.
  void begin(const std::function<void(const std::shared_ptr<ServedCall>&)>& serve);
  void go_on();

  [[nodiscard]] const std::string& command() const noexcept override { return state_->command; }
  [[nodiscard]] const Box& arguments() const noexcept override { return state_->arguments; }
  void answer(Box results) override;
  void fail(Failure failure) override;
  [[nodiscard]] bool cancelled() const override;
  [[nodiscard]] bool lost() const override;

  void announce_total(std::uint64_t bytes) override;
  bool write(StreamName stream, Block block, std::size_t count) override;
  std::optional<std::string_view> read() override;

  [[nodiscard]] std::size_t room(StreamName stream) const override;
  void send(StreamName stream, Block block, std::size_t count, const PieceMarks& marks) override;
  void flush() override;
  std::optional<Chunk> take() override;
  void consumed(const Chunk& chunk) override;
  void on_change(std::function<void()> callback) override;
  void run_on_change(std::function<void()> step) override;
  void run_on_cancel(std::function<void()> step) override;

  bool hand_over_to(BytesView op, BytesView command) override;
  std::shared_ptr<ServedCall> take_request() override;

  [[nodiscard]] std::shared_ptr<const OpenService> state() const noexcept { return state_; }

  // Under the mutex.

  /// Input, credit, a cancel or another call came.
  void changed();
  /// Lets the callback run after the unlock, or a worker run the next step.
  void notify();

  /// Runs the callback of on_change(); without the mutex.
  void tell();

 private:
  /// After the answer, under the mutex. Unlocks it.
  void finish_for_good(Peer::Locked& lock);
  void finish(Peer::Locked& lock);
  void wait(Peer::Locked& lock, Waiter& me, HasWork has_work);
  [[nodiscard]] bool is_over() const { return state_->cancelled || state_->answered; }
  [[nodiscard]] const SendCredit& credit(StreamName stream) const { return state_->credit(stream); }

  const std::shared_ptr<Peer> peer_;
  const std::shared_ptr<OpenService> state_;
  std::function<void()> callback_;   // from on_change()
  std::function<void()> step_;       // from run_on_change() or run_on_cancel()
  bool awaits_cancel_ = false;       // the step is from run_on_cancel()
  bool telling_ = false;             // a thread runs the callback or the step
  bool tell_again_ = false;          // it has to run once more
  bool is_ready_ = false;            // the next step is in the server's queue
  bool promised_ = false;            // sent, and flush() was not called yet
  mutable bool lacks_room_ = false;  // in the server's list of services that found no room in the queue
  std::optional<std::uint64_t> total_;
  std::vector<Waiter*> waiters_;  // a list, as one thread may read while another writes
  std::optional<Chunk> current_;  // what read() returned
};

}  // namespace remsh::rpc
