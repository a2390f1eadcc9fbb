// Remsh1Server: serves an unmodified original master over a Transport (docs/remsh1.md).
#pragma once

#include "connection/out_queue.hpp"
#include "remsh1/slave_session.hpp"
#include "rpc/served_call.hpp"
#include "slave/workplace.hpp"
#include "transport/loop.hpp"

#include <remsh/base/deadline.hpp>
#include <remsh/connection/box_codec.hpp>
#include <remsh/slave/slave_server.hpp>
#include <remsh/transport/transport.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

namespace remsh {

/// One connection to an original master. run() and close() may be called from different threads.
///
/// The thread of run() reads, executes each call with `serve`, and writes. While a command runs, it waits, and the loop
/// has the connection: the loop writes the output, and sees the end of the connection. No other thread uses the
/// connection, so only its handover is locked.
class Remsh1Server final : public Watched, public std::enable_shared_from_this<Remsh1Server> {
 public:
  /// How much of a command's output may be queued here; beyond that the command waits.
  static constexpr std::size_t max_queued = 256 * 1024;

  struct Options {
    std::shared_ptr<Loop> loop;
    std::shared_ptr<const Workplace> workplace;
    Bytes hostname;  ///< the name by which the master knows this slave
    /// Executes a call, as Dispatcher::dispatch() does.
    std::function<void(const std::shared_ptr<rpc::ServedCall>&)> serve;
    std::function<void()> on_registered = {};
    Deadline registered_by = std::chrono::seconds(20);  ///< until when the master must answer
  };

  Remsh1Server(std::unique_ptr<Transport> transport, Options options);
  Remsh1Server(const Remsh1Server&) = delete;
  Remsh1Server& operator=(const Remsh1Server&) = delete;

  /// Registers and serves until the connection ends. After that nothing uses the transport.
  ServeResult run();

  /// Ends the connection, from any thread.
  void close();

  void on_ready(std::uint32_t number, Ready directions) override;

 private:
  using Event = remsh1::SlaveSession::Event;
  class Turn;

  // On the thread of run().
  std::optional<Event> next_event(TimePoint until = TimePoint::max());
  void read_more(TimePoint until);
  void serve(remsh1::Call call);
  std::optional<Bytes> next_piece(Turn& turn);
  void answer(Turn& turn);
  void answer_plain(const Turn& turn);
  void answer_execute(const Turn& turn);
  void answer_send(Turn& turn);
  void answer_fetch(const Turn& turn);
  bool write_all();
  [[nodiscard]] Bytes text_of(const Turn& turn, const Failure& failure) const;

  // On the loop.
  void begin_relay(Turn& turn);
  void end_relay(const Turn& turn);
  void go_on();
  void arm();
  void tell();

  // On either.
  void queue(const Box& box);
  IoResult write_once();
  void end(ServeResult::Reason reason, std::string message);
  void end_of_stream(const IoResult& result);

  const std::unique_ptr<Transport> transport_;
  const Options options_;
  std::atomic<bool> over_{false};

  // Used by the owner of the connection: the thread of run(), or the loop.
  remsh1::SlaveSession session_;
  OutQueue queue_;
  Bytes input_;       // what the decoder reads from
  Bytes read_ahead_;  // bytes that came during a command
  BoxDecoder decoder_;
  std::optional<ServeResult> result_;

  // Used on the loop.
  std::weak_ptr<Turn> relayed_;
  std::uint32_t slot_ = 0;
  std::uint32_t armings_ = 0;  // the number of the event that is awaited
  Ready armed_for_ = Ready::none;
  bool thirsty_ = false;  // the command waits for room in the queue

  std::mutex mutex_;  // guards the outcomes of turns
  std::condition_variable concluded_;
};

}  // namespace remsh
