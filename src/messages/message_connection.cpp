#include <remsh/messages/message_connection.hpp>

#include "base/format.hpp"
#include "base/throw_failure.hpp"
#include "messages/connection_impl.hpp"
#include "messages/pickle.hpp"
#include "messages/proof_run.hpp"
#include "messages/started_work.hpp"
#include "transport/endpoint.hpp"

#include <remsh/messages/challenge.hpp>

#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace remsh {

using messages::ConnectionImpl;
using messages::MessageStream;
using messages::throw_message_failure;
using messages::wait_for;

namespace {

Patience patience_of(const WaitOptions& options) { return {options.deadline.begin(), options.stop}; }
Patience patience_of(const ReceiveOptions& options) { return {options.deadline.begin(), options.stop}; }

constexpr const char* sending = "send a message";
constexpr const char* receiving = "receive a message";
constexpr const char* until_read = "for the other side to read";
constexpr const char* until_sent = "for a message";

void receive(MessageStream& stream, std::uint64_t most, const Patience& patience) {
  const auto failure = wait_for(patience, until_sent, [&](Duration wait) { return stream.receive(most, wait); });
  if (failure) throw_message_failure(*failure, receiving);
}

Value value_of(BytesView pickle) {
  auto value = messages::from_pickle(pickle);
  if (value) return *std::move(value);
  const bool is_challenge = pickle.starts_with("#CHALLENGE#");
  value.failure().message = is_challenge ? "the other side demands a proof: give this side an `authkey`"
                                         : value.failure().message + " (what send_bytes() sends is for recv_bytes())";
  throw_message_failure(value.failure(), "receive a value");
}

Bytes pickle_of(const Value& value) {
  auto pickle = messages::to_pickle(value);
  if (!pickle) throw_message_failure(pickle.failure(), "send a value");
  return *std::move(pickle);
}

/// The turn to receive.
class Turn {
 public:
  explicit Turn(MessageStream& stream) : stream_(stream) {
    if (stream.begin_turn()) return;
    throw Error(Errc::busy, "", receiving,
                "another call, or a started one, is receiving from " + stream.transport().description() + " now");
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() { stream_.end_turn(); }

 private:
  MessageStream& stream_;
};

/// A started send.
class SendBytesWork final : public messages::StartedWork<void> {
 public:
  SendBytesWork(std::shared_ptr<ConnectionImpl> impl, Bytes message, Patience patience)
      : StartedWork(std::move(patience)), impl_(std::move(impl)), message_(std::move(message)) {}
  ~SendBytesWork() override {
    if (!is_over()) static_cast<void>(SendBytesWork::leave());
  }

 protected:
  Result<bool> step(Duration wait) override {
    if (!std::exchange(has_begun_, true)) return stream().send(message_, rest_, bell());
    return stream().go_on(rest_, wait);
  }
  std::shared_ptr<Loop> io_loop() override { return impl_->loop(); }
  void watch(Loop& loop, const std::shared_ptr<messages::Bell>& bell) override { stream().watch_for_room(loop, bell); }
  bool leave() noexcept override { return rest_ && stream().withdraw(rest_); }
  void outcome() override {}
  [[nodiscard]] const char* operation() const noexcept override { return sending; }
  [[nodiscard]] const char* waits_for() const noexcept override { return until_read; }

 private:
  [[nodiscard]] MessageStream& stream() const noexcept { return *impl_->stream(); }

  const std::shared_ptr<ConnectionImpl> impl_;
  const Bytes message_;
  std::shared_ptr<messages::Outgoing> rest_;
  bool has_begun_ = false;
};

/// A started receive.
template <class T>
class ReceiveWork final : public messages::StartedWork<T> {
 public:
  ReceiveWork(std::shared_ptr<ConnectionImpl> impl, std::uint64_t most, Patience patience)
      : messages::StartedWork<T>(std::move(patience)),
        impl_(std::move(impl)),
        most_(most),
        turn_(std::in_place, *impl_->stream()) {}

 protected:
  Result<bool> step(Duration wait) override {
    auto done = impl_->stream()->receive(most_, wait);
    if (done.ok() && *done) message_ = impl_->stream()->reader().take();
    return done;
  }
  std::shared_ptr<Loop> io_loop() override { return impl_->loop(); }
  void watch(Loop& loop, const std::shared_ptr<messages::Bell>& bell) override {
    impl_->stream()->watch_for_input(loop, bell);
  }
  bool leave() noexcept override {
    turn_.reset();
    return false;
  }
  T outcome() override {
    if constexpr (std::is_same_v<T, Value>) {
      return value_of(message_);
    } else {
      return std::move(message_);
    }
  }
  [[nodiscard]] const char* operation() const noexcept override { return receiving; }
  [[nodiscard]] const char* waits_for() const noexcept override { return until_sent; }

 private:
  const std::shared_ptr<ConnectionImpl> impl_;
  const std::uint64_t most_;
  std::optional<Turn> turn_;
  Bytes message_;
};

BytesView view_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

namespace messages {

void throw_message_failure(const Failure& failure, const char* operation) {
  if (failure.code == Errc::connection_lost && failure.reason == DisconnectReason::closed_there) {
    throw EndOfMessages(failure.reason, "", operation, failure.message);
  }
  throw_failure(failure, "", operation);
}

}  // namespace messages

BufferTooShort::BufferTooShort(Bytes message, std::size_t room)
    : Error(Errc::too_large, "", receiving,
            formatted("the message has {} bytes, and the buffer has room for {}; bytes() has the message",
                      message.size(), room)),
      bytes_(std::make_shared<const Bytes>(std::move(message))) {}

BufferTooShort::~BufferTooShort() = default;

EndOfMessages::~EndOfMessages() = default;

MessageConnection::MessageConnection() noexcept = default;

MessageConnection::MessageConnection(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

MessageConnection::MessageConnection(std::unique_ptr<Transport> transport) {
  if (!transport) throw Error(Errc::invalid_argument, "", "make a connection", "the transport is null");
  impl_ = std::make_shared<Impl>(MessageStream::over(std::move(transport)));
}

MessageConnection MessageConnection::from_descriptor(int descriptor) {
  struct stat what {};
  const int error = ::fstat(descriptor, &what) != 0 ? errno : S_ISSOCK(what.st_mode) ? 0 : ENOTSOCK;
  if (error != 0) {
    throw_failure({Errc::local_os_error, std::generic_category().message(error), error}, "",
                  formatted("use descriptor {}", descriptor));
  }
  std::string description = describe_peer(descriptor);
  return MessageConnection(
      std::make_shared<Impl>(MessageStream::over_socket(UniqueFd(descriptor), std::move(description))));
}

MessageConnection::MessageConnection(MessageConnection&&) noexcept = default;

MessageConnection& MessageConnection::operator=(MessageConnection&& other) noexcept {
  if (this == &other) return *this;
  close();
  impl_ = std::move(other.impl_);
  return *this;
}

MessageConnection::~MessageConnection() { close(); }

MessageConnection::Impl& MessageConnection::impl(const char* operation) const {
  if (!impl_)
    throw Error(Errc::invalid_argument, "", operation, "there is no connection: it was moved away, or never made");
  return *impl_;
}

void MessageConnection::send_bytes(BytesView message, const WaitOptions& options) {
  MessageStream& stream = *impl(sending).stream();
  const Patience patience = patience_of(options);
  std::shared_ptr<messages::Outgoing> rest;
  auto sent = stream.send(message, rest);
  if (!sent) throw_message_failure(sent.failure(), sending);
  if (*sent) return;
  std::optional<Failure> failure;
  try {
    failure = wait_for(patience, until_read, [&](Duration wait) { return stream.go_on(rest, wait); });
  } catch (...) {  // no memory; the message is the caller's again
    stream.withdraw(rest);
    throw;
  }
  const bool is_sent = stream.withdraw(rest);
  if (failure && !is_sent) throw_message_failure(*failure, sending);
}

void MessageConnection::send_bytes(std::span<const std::byte> message, const WaitOptions& options) {
  send_bytes(view_of(message), options);
}

Bytes MessageConnection::recv_bytes(const ReceiveOptions& options) {
  MessageStream& stream = *impl(receiving).stream();
  const Turn turn(stream);
  receive(stream, options.max, patience_of(options));
  return stream.reader().take();
}

std::size_t MessageConnection::recv_bytes_into(std::span<char> buffer, std::size_t offset,
                                               const ReceiveOptions& options) {
  MessageStream& stream = *impl(receiving).stream();
  if (offset > buffer.size()) {
    throw Error(Errc::invalid_argument, "", receiving,
                formatted("the offset {} is beyond the buffer of {} bytes", offset, buffer.size()));
  }
  const std::span<char> room = buffer.subspan(offset);
  const Turn turn(stream);
  messages::MessageReader& reader = stream.reader();
  reader.lend(room);
  try {
    receive(stream, options.max, patience_of(options));
  } catch (...) {
    reader.take_back();
    throw;
  }
  const auto size = static_cast<std::size_t>(reader.size());
  const bool is_there = reader.is_in_lent();
  Bytes message = reader.take();
  if (is_there || size == 0) return size;
  if (size > room.size()) throw BufferTooShort(std::move(message), room.size());
  std::memcpy(room.data(), message.data(), size);
  return size;
}

std::size_t MessageConnection::recv_bytes_into(std::span<std::byte> buffer, std::size_t offset,
                                               const ReceiveOptions& options) {
  return recv_bytes_into(std::span(reinterpret_cast<char*>(buffer.data()), buffer.size()), offset, options);
}

void MessageConnection::send(const Value& value, const WaitOptions& options) { send_bytes(pickle_of(value), options); }

Value MessageConnection::recv(const ReceiveOptions& options) { return value_of(recv_bytes(options)); }

Pending<void> MessageConnection::start_send_bytes(Bytes message, const WaitOptions& options) {
  static_cast<void>(impl(sending));
  auto work = std::make_unique<SendBytesWork>(impl_, std::move(message), patience_of(options));
  work->begin();
  return Pending<void>(std::move(work));
}

Pending<Bytes> MessageConnection::start_recv_bytes(const ReceiveOptions& options) {
  static_cast<void>(impl(receiving));
  return Pending<Bytes>(std::make_unique<ReceiveWork<Bytes>>(impl_, options.max, patience_of(options)));
}

Pending<void> MessageConnection::start_send(const Value& value, const WaitOptions& options) {
  return start_send_bytes(pickle_of(value), options);
}

Pending<Value> MessageConnection::start_recv(const ReceiveOptions& options) {
  static_cast<void>(impl(receiving));
  return Pending<Value>(std::make_unique<ReceiveWork<Value>>(impl_, options.max, patience_of(options)));
}

bool MessageConnection::poll() { return poll({.deadline = no_wait}); }

bool MessageConnection::poll(const ReceiveOptions& options) {
  MessageStream& stream = *impl("poll").stream();
  const Turn turn(stream);
  const auto failure = wait_for(patience_of(options), until_sent, [&](Duration wait) -> Result<bool> {
    auto looked = stream.look(options.max, wait);
    return looked.ok() ? looked : true;  // the next receive reports a failure
  });
  if (failure && failure->code == Errc::cancelled) throw_message_failure(*failure, "poll");
  return !failure;
}

void MessageConnection::close() noexcept {
  if (impl_) impl_->stream()->close();
}

bool MessageConnection::is_closed() const noexcept { return !impl_ || impl_->stream()->is_closed(); }

int MessageConnection::descriptor() const noexcept { return impl_ ? impl_->stream()->descriptor() : -1; }

int MessageConnection::release() {
  MessageStream& stream = *impl("release a descriptor").stream();
  const Turn turn(stream);
  auto socket = stream.release();
  if (!socket) throw_failure(socket.failure(), "", "release a descriptor");
  return socket->release();
}

bool MessageConnection::allows_md5(const ChallengeOptions& options) const {
  return !options.require_sha256.value_or(!is_to_this_host(descriptor()));
}

void MessageConnection::prove(std::unique_ptr<messages::ProofSide> proof, const ChallengeOptions& options,
                              const char* operation) {
  const std::shared_ptr<MessageStream>& stream = impl(operation).stream();
  const Turn turn(*stream);
  const auto made = messages::prove(stream, std::move(proof), {options.deadline.begin(), options.stop});
  if (!made) throw_failure(made.failure(), "", operation);
}

std::string MessageConnection::description() const { return impl("describe").stream()->transport().description(); }

std::pair<MessageConnection, MessageConnection> pipe() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    const int error = errno;
    throw_failure({Errc::local_os_error, std::generic_category().message(error), error}, "", "make a pipe");
  }
  const auto end = [](int descriptor) {
    return MessageConnection(std::make_shared<MessageConnection::Impl>(
        MessageStream::over_socket(UniqueFd(descriptor), "the other end of a pipe")));
  };
  return {end(ends[0]), end(ends[1])};
}

}  // namespace remsh
