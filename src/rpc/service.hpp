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

/// One call that the other side of a Peer made. Thread-safe; its state belongs to the peer's mutex.
class PeerService final : public ServedCall, public std::enable_shared_from_this<PeerService> {
 public:
  /// Under the peer's mutex.
  PeerService(std::shared_ptr<Peer> peer, std::shared_ptr<OpenService> state);
  ~PeerService() override;

  /// Has it done, on this server thread.
  void run(const std::function<void(const std::shared_ptr<ServedCall>&)>& serve);

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
  void send(StreamName stream, Block block, std::size_t count) override;
  void flush() override;
  std::optional<Chunk> take() override;
  void consumed(const Chunk& chunk) override;
  void on_change(std::function<void()> callback) override;

  /// Something changed; under the mutex.
  void changed();
  /// Tells who asked to be told; without the mutex.
  void tell();

 private:
  void finish(Peer::Locked& lock);
  void wait(Peer::Locked& lock, Waiter& me, HasWork has_work);
  [[nodiscard]] bool is_over() const { return state_->cancelled || state_->answered; }
  [[nodiscard]] const SendCredit& credit(StreamName stream) const {
    return stream == StreamName::err ? state_->err : state_->out;
  }

  const std::shared_ptr<Peer> peer_;
  const std::shared_ptr<OpenService> state_;
  std::function<void()> callback_;
  bool telling_ = false;
  bool tell_again_ = false;
  bool promised_ = false;            // sent, and flush() has not come yet
  mutable bool is_thirsty_ = false;  // in the peer's list of those that found no room
  std::optional<std::uint64_t> total_;
  std::vector<Waiter*> waiters_;  // one thread may read while another writes
  std::optional<Chunk> current_;  // what read() gave
};

}  // namespace remsh::rpc
