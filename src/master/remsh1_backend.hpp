// Remsh1Backend: drives an original slave, which speaks remsh 1.
#pragma once

#include "master/admitted_backend.hpp"
#include "master/blocking_backend.hpp"
#include "remsh1/master_session.hpp"
#include "transport/loop.hpp"

#include <remsh/connection/box_codec.hpp>
#include <remsh/transport/transport.hpp>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace remsh {

/// An AdmittedBackend for a slave that does one thing at a time: operations take turns, in their order. Thread-safe.
/// docs/remsh1.md says what it cannot do, which it refuses before anything is sent.
///
/// The io thread reads, always, so that the end of an idle slave is seen; who has the turn waits for what it finds. All
/// write, each what fits without waiting, and the io thread the rest. Who leaves in the middle of its turn leaves it to
/// the io thread, which brings it to its end: it hears the slave out, and undoes what was left half done.
class Remsh1Backend final : public BlockingBackend<AdmittedBackend>,
                            public Watched,
                            public std::enable_shared_from_this<Remsh1Backend> {
 public:
  Remsh1Backend(std::shared_ptr<Loop> loop, Owner owner) : loop_(std::move(loop)), owner_(std::move(owner)) {}
  Remsh1Backend(const Remsh1Backend&) = delete;
  Remsh1Backend& operator=(const Remsh1Backend&) = delete;
  ~Remsh1Backend() override;

  void open(std::unique_ptr<Transport> transport) override;
  void fail(Failure failure) override;
  void wait_until_left() override;

  Result<void> run(AskedOperation& operation, const StreamEnds& ends, const CallOptions& options) override;
  void end_connection(Failure why) override;
  [[nodiscard]] std::optional<Failure> lost() const override;
  void on_lost(std::unique_ptr<LostCallback> callback) override;

  // Watched
  void on_ready(std::uint32_t number, Ready directions) override;

 private:
  using Event = remsh1::MasterSession::Event;
  class Turn;
  class Operations;

  enum class Holder : std::uint8_t {
    nobody,
    caller,
    io_thread,  // the caller has left
  };

  /// What is still to be done when a turn ends, however it does.
  struct LastCall {
    Bytes command;
    Box arguments;
    bool is_vital = false;  // where it fails the slave is not as others expect it, and cannot be used
  };

  // All of these under the mutex.
  void write(const Box& box);
  void flush();
  void rearm();
  void take_in(const IoResult& result, BytesView bytes);
  void take(Event event);
  void settle();
  void declare_end(Failure failure);
  [[nodiscard]] std::size_t unwritten() const noexcept { return out_.size() - written_; }

  void over(OperationsEnds ends) noexcept override;
  void note_settled() noexcept;
  [[nodiscard]] const Owner& owner() const noexcept override { return owner_; }
  void bury();
  const std::shared_ptr<Loop> loop_;
  const Owner owner_;
  std::uint32_t slot_ = 0;  // written once, by open()

  mutable std::mutex mutex_;
  std::unique_ptr<Transport> transport_;  // from open() to bury(), both of them on the loop
  BoxDecoder decoder_{remsh1::limits};
  remsh1::MasterSession session_;
  Ready armed_ = Ready::none;
  std::uint32_t number_ = 0;  // of the last arming
  Bytes out_;                 // boxes on their way
  std::size_t written_ = 0;   // of them
  std::optional<Failure> write_failed_;

  // Turns.
  std::condition_variable_any turn_changed_;
  std::deque<const Turn*> waiting_;
  Holder holder_ = Holder::nobody;
  std::thread::id holding_;  // the caller's
  std::uint64_t turns_ = 0;
  std::condition_variable_any happened_;  // for who has the turn
  std::deque<Event> events_;
  std::size_t queued_ = 0;  // bytes of data in them
  std::deque<LastCall> last_calls_;
  OperationsEnds settling_;  // of operations whose caller has left, until the slave has been heard out
  bool is_vital_ = false;    // what is under way, once the caller has left

  // The end.
  std::optional<Failure> end_;
  bool is_buried_ = false;
  unsigned inside_ = 0;
  std::condition_variable left_;
  LostCallbacks on_lost_;
};

}  // namespace remsh
