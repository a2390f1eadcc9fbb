// MessageStream: messages over a transport, for threads that wait and for works that do not.
#pragma once

#include "base/result.hpp"
#include "messages/bell.hpp"
#include "messages/message_reader.hpp"
#include "transport/fd_transport.hpp"
#include "transport/loop.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/transport/transport.hpp>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh::messages {

/// A message that could not be sent at once. Its bytes belong to the sender.
struct Outgoing {
  Outgoing(BytesView message, std::string its_header, std::shared_ptr<Bell> its_bell)
      : header(std::move(its_header)), body(message), bell(std::move(its_bell)) {}
  Outgoing(const Outgoing&) = delete;
  Outgoing& operator=(const Outgoing&) = delete;

  const std::string header;
  const BytesView body;
  const std::shared_ptr<Bell> bell;  ///< is rung when another sender has written it; may be null

  // Guarded by the mutex of the stream:
  std::size_t written = 0;  // of header and body
  bool is_written = false;
};

/// Messages over a transport. Any thread may send; the messages of several are sent one after the other, each of them
/// whole. One receives at a time. Any thread may close. Nothing here waits, except look(), receive() and go_on() for
/// the time that they are given. No call moves more than a few MiB, so that deadlines are kept while bytes flow.
class MessageStream final : public Watched, public std::enable_shared_from_this<MessageStream> {
 public:
  static std::shared_ptr<MessageStream> over(std::unique_ptr<Transport> transport);

  /// Over a connected socket, whose descriptor can be had.
  static std::shared_ptr<MessageStream> over_socket(UniqueFd socket, std::string description);

  MessageStream(const MessageStream&) = delete;
  MessageStream& operator=(const MessageStream&) = delete;
  ~MessageStream();

  // Receiving.

  /// Takes the turn to receive; false if another receives. end_turn() gives it back.
  [[nodiscard]] bool begin_turn() noexcept { return !is_receiving_.exchange(true); }
  void end_turn() noexcept { is_receiving_ = false; }

  /// Reads for the next message; waits for its first bytes for at most `wait`. Returns true when the reader has it, or
  /// knows that it exceeds `most` bytes. Fails at the end, and for a negative size.
  Result<bool> look(std::uint64_t most, Duration wait);

  /// The same, but a message over `most` bytes is a failure, after which nothing more can be received.
  Result<bool> receive(std::uint64_t most, Duration wait);
  [[nodiscard]] MessageReader& reader() noexcept { return reader_; }

  // Sending.

  /// Sends as much of the message as possible without waiting, after those that are on their way. Returns true when all
  /// of it is written; otherwise `rest` is what go_on() continues with, until withdraw().
  Result<bool> send(BytesView message, std::shared_ptr<Outgoing>& rest, const std::shared_ptr<Bell>& bell = nullptr);

  /// Goes on, and waits for at most this long. Returns true when all of it is written.
  Result<bool> go_on(const std::shared_ptr<Outgoing>& rest, Duration wait);

  /// Takes the message out of the queue. Returns true if all of it is written. If only a part is, the stream is
  /// closed.
  bool withdraw(const std::shared_ptr<Outgoing>& rest) noexcept;

  // Without a thread that waits.

  // The loop must outlive the stream, and be the same in all calls.

  /// Rings the bell when more can be received.
  void watch_for_input(Loop& loop, std::shared_ptr<Bell> bell);

  /// Rings the bell when more can be sent.
  void watch_for_room(Loop& loop, std::shared_ptr<Bell> bell);
  void on_ready(std::uint32_t number, Ready directions) override;

  void close() noexcept;
  [[nodiscard]] bool is_closed() const noexcept { return is_closed_; }
  [[nodiscard]] const Transport& transport() const noexcept { return *transport_; }

  /// -1 if there is none.
  [[nodiscard]] int descriptor() const noexcept { return socket_ != nullptr ? socket_->descriptor() : -1; }

  /// Gives the socket away, for another process, and is closed. Fails if there is none, or if a part of its bytes is
  /// here. The caller holds the turn.
  Result<UniqueFd> release();

 private:
  explicit MessageStream(std::unique_ptr<Transport> transport) : transport_(std::move(transport)) {}

  Failure end_receiving(Failure why);
  [[nodiscard]] Failure why_ended();
  [[nodiscard]] Failure lost(int error) const;
  void wait_for_room(const Outgoing& message, Duration wait);
  void use(Loop& loop);

  // The mutex must be held:
  bool write(std::string_view header, BytesView body, std::size_t& written);
  std::vector<std::shared_ptr<Outgoing>> write_queued();
  void break_off(Failure why) noexcept;
  void arm_again();

  const std::unique_ptr<Transport> transport_;
  SocketTransport* socket_ = nullptr;  // the same, if it is one
  std::atomic<bool> is_closed_ = false;

  std::atomic<bool> is_receiving_ = false;
  MessageReader reader_;              // this and the next belong to the holder of the turn
  std::optional<Failure> no_more_{};  // why nothing can be received any more

  std::mutex closing_mutex_;  // held while the socket is shut down or given away; never while bytes are moved
  bool is_released_ = false;  // the socket was given away

  std::mutex mutex_;  // guards what follows
  std::deque<std::shared_ptr<Outgoing>> out_;
  std::optional<Failure> broken_{};  // why nothing can be sent any more
  std::condition_variable changed_;  // messages were written, or somebody else may wait for the transport
  bool is_waited_for_ = false;       // a sender waits for the transport; the others wait for `changed_`
  unsigned senders_ = 0;             // the number of them that wait
  Loop* loop_ = nullptr;             // set with the slot when the transport is first armed
  std::uint32_t slot_ = 0;
  std::uint32_t number_ = 0;
  std::shared_ptr<Bell> input_bell_;
  std::vector<std::shared_ptr<Bell>> room_bells_;
};

}  // namespace remsh::messages
