// Remsh1Backend: drives an original slave, which speaks remsh 1.
#pragma once

#include "master/admitted_backend.hpp"
#include "master/blocking_backend.hpp"
#include "master/byte_link.hpp"
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

/// An AdmittedBackend for a slave that does one operation at a time: operations take turns, in the order in
/// which they begin. What the slave cannot do (docs/remsh1.md) is refused before anything is sent. Thread-safe.
///
/// The io thread always reads, so that it sees the end of an idle slave. The caller that has the turn waits for the
/// events that the io thread reads. Each thread writes as much as fits without waiting, and the io thread writes the
/// rest. A caller that leaves in the middle of its turn hands the turn to the io thread, which completes it: it waits
/// for the slave's answer and undoes what was left half done.
class Remsh1Backend final : public BlockingBackend<AdmittedBackend>,
                            public Watched,
                            public std::enable_shared_from_this<Remsh1Backend> {
 public:
  Remsh1Backend(std::shared_ptr<Loop> loop, Owner owner)
      : loop_(std::move(loop)), owner_(std::move(owner)), link_(loop_) {}
  Remsh1Backend(const Remsh1Backend&) = delete;
  Remsh1Backend& operator=(const Remsh1Backend&) = delete;
  ~Remsh1Backend() override;

  void open(std::unique_ptr<Transport> transport) override;
  void fail(Failure failure) override;
  void wait_until_left() override;

  Result<void> run(AskedOperation& operation, const StreamEnds& ends, const Patience& options) override;
  void end_connection(Failure why) override;
  [[nodiscard]] std::optional<Failure> lost() const override;

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

  /// A call to be made at the end of a turn, however the turn ends.
  struct LastCall {
    Bytes command;
    Box arguments;
    bool is_vital = false;  // if it fails, the slave's state is not what other callers expect: the connection ends
  };

  // All of these under the mutex.
  void write(const Box& box);
  void note_written();
  void limit_reading();
  void take_in(const IoResult& result, BytesView bytes);
  void take(Event event);
  void continue_turn();
  void declare_end(Failure failure);

  void over(OperationsEnds ends) noexcept override;
  void note_finished() noexcept;
  [[nodiscard]] const Owner& owner() const noexcept override { return owner_; }
  void close_transport();

  const std::shared_ptr<Loop> loop_;
  const Owner owner_;

  mutable std::mutex mutex_;
  ByteLink link_;  // open from open() to close_transport(), both on the loop
  BoxDecoder decoder_{remsh1::limits};
  remsh1::MasterSession session_;

  // Turns.
  std::condition_variable_any turn_changed_;
  Holder holder_ = Holder::nobody;
  std::thread::id holding_;  // the thread of the caller that has the turn
  std::uint64_t turns_ = 0;
  std::condition_variable_any happened_;  // for the caller that has the turn
  std::deque<Event> events_;
  std::size_t queued_ = 0;  // bytes of data in events_
  std::deque<LastCall> last_calls_;
  OperationsEnds unfinished_;  // of operations whose caller has left, until the slave has answered
  bool is_vital_ = false;      // of the LastCall in progress

  // The end.
  std::optional<Failure> end_;
  bool is_closed_ = false;
  unsigned inside_ = 0;
  std::condition_variable left_;
};

}  // namespace remsh
