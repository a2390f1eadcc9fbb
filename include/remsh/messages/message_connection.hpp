// MessageConnection: messages to and from another program, as Python's multiprocessing.connection has them.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/deadline.hpp>
#include <remsh/base/error.hpp>
#include <remsh/base/export.hpp>
#include <remsh/base/pending.hpp>
#include <remsh/base/value.hpp>
#include <remsh/transport/transport.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <utility>

namespace remsh {

class AuthKey;
struct ChallengeOptions;

namespace messages {
class ProofSide;
}

/// How long a call waits. The call throws Timeout after the deadline, and Cancelled after a stop.
struct WaitOptions {
  CallDeadline deadline = {};
  std::stop_token stop = {};
};

/// How long a call waits for a message, and how large it may be.
struct ReceiveOptions {
  std::uint64_t max = std::uint64_t{1} << 30U;  ///< bytes
  CallDeadline deadline = {};
  std::stop_token stop = {};
};

/// A message did not fit into the buffer of recv_bytes_into(). It was received, and is here; the connection goes on.
class REMSH_API BufferTooShort : public Error {
 public:
  BufferTooShort(Bytes message, std::size_t room);
  ~BufferTooShort() override;

  /// The whole message.
  [[nodiscard]] const Bytes& bytes() const noexcept { return *bytes_; }

 private:
  std::shared_ptr<const Bytes> bytes_;  // an exception can be copied without a failure
};

/// The other side has closed the connection between two messages: EOFError of Python.
class REMSH_API EndOfMessages : public ConnectionLost {
 public:
  using ConnectionLost::ConnectionLost;
  ~EndOfMessages() override;
};

/// Sends and receives messages: bytes, or values as Python programs send them. Get one from a Client,
/// from Listener::accept() or from pipe(). Movable, not copyable.
///
///     remsh::Client connection("localhost:6000", {.authkey = key});
///     connection.send_bytes("hello");
///     const remsh::Bytes answer = connection.recv_bytes({.deadline = 5s});
///
/// Any number of threads may send: each message is sent whole. One receives at a time, by a call or a started one; a
/// second one throws Error with busy. Any thread may close(). Sending and receiving throw ConnectionLost if the
/// connection is closed or broken, and Error with invalid_argument if there is none: after a move, for example.
class REMSH_API MessageConnection {
 public:
  MessageConnection() noexcept;  ///< no connection

  /// Over a transport of your own: memory_pair(), socket_transport(), pipe_transport().
  explicit MessageConnection(std::unique_ptr<Transport> transport);

  /// Over a connected stream socket, which it owns: the end of a pipe() that this process was given, for example.
  /// Throws Error with local_os_error if the descriptor is none; then it is not closed.
  static MessageConnection from_descriptor(int descriptor);

  MessageConnection(MessageConnection&&) noexcept;
  MessageConnection& operator=(MessageConnection&&) noexcept;
  ~MessageConnection();  ///< closes

  /// Sends a message. If it throws Timeout or Cancelled after a part of the message was sent, the connection is closed.
  void send_bytes(BytesView message, const WaitOptions& options = {});
  void send_bytes(std::span<const std::byte> message, const WaitOptions& options = {});

  /// Receives a message. Throws EndOfMessages at the end, and ConnectionLost if the connection ends inside a message.
  /// Throws Error with too_large if the message has over `max` bytes: then nothing more can be received;
  /// sending still works. After Timeout and Cancelled no data is lost.
  Bytes recv_bytes(const ReceiveOptions& options = {});

  /// Receives a message into a buffer, behind `offset`, and returns its size. Throws Error with invalid_argument if the
  /// offset is beyond the buffer. Throws BufferTooShort, with the message, if it does not fit.
  std::size_t recv_bytes_into(std::span<std::byte> buffer, std::size_t offset = 0, const ReceiveOptions& options = {});
  std::size_t recv_bytes_into(std::span<char> buffer, std::size_t offset = 0, const ReceiveOptions& options = {});

  /// Sends a value: what Python's recv() returns. Throws Error with invalid_argument if Python could not read it: a
  /// text that is not UTF-8, or a list in a set.
  void send(const Value& value, const WaitOptions& options = {});

  /// Receives what Python's send() sent, if it is plain data. Nothing is imported, called or made of a class, whatever
  /// comes. Throws ProtocolError for anything else; the connection goes on with the next message.
  Value recv(const ReceiveOptions& options = {});

  // The same, started: see Pending. The options count from the start. What can be sent at once is sent at once, and the
  // rest when the Pending is waited for or polled, as a CompletionQueue does.

  [[nodiscard]] Pending<void> start_send_bytes(Bytes message, const WaitOptions& options = {});
  [[nodiscard]] Pending<Bytes> start_recv_bytes(const ReceiveOptions& options = {});
  [[nodiscard]] Pending<void> start_send(const Value& value, const WaitOptions& options = {});
  [[nodiscard]] Pending<Value> start_recv(const ReceiveOptions& options = {});

  /// Waits until receiving does not wait: a message is there, one of over `max` bytes has begun, or the end. Returns
  /// false if the deadline passes first; without options it does not wait at all. Throws Cancelled.
  bool poll();
  bool poll(const ReceiveOptions& options);

  /// Ends the connection. The other side gets what was sent, and then the end between two messages. (But if it sends at
  /// that moment, or if something that it has sent was not received here, TCP may drop what is on its way.) Calls in
  /// other threads throw. What has come and was not received is lost.
  void close() noexcept;

  /// True if this side has closed the connection: by close() or release(), or because a send stopped half-way, a
  /// challenge failed or the peer broke the protocol. Also true if there is no connection.
  [[nodiscard]] bool is_closed() const noexcept;

  /// The descriptor of the socket; -1 without a socket, or with TLS. It becomes readable when something comes; but
  /// ask poll() first, as a message may have come before.
  [[nodiscard]] int descriptor() const noexcept;

  /// Gives the socket away, for another process: returns its descriptor, which is the caller's now. This object is
  /// closed. Throws Error with invalid_argument if there is no descriptor, and with busy if a part of a message is
  /// here.
  int release();

  /// The other side in words: "tcp 127.0.0.1:40112".
  [[nodiscard]] std::string description() const;

 private:
  friend class Listener;
  friend class Client;
  friend std::pair<MessageConnection, MessageConnection> pipe();
  friend REMSH_API void deliver_challenge(MessageConnection&, const AuthKey&, const ChallengeOptions&);
  friend REMSH_API void answer_challenge(MessageConnection&, const AuthKey&, const ChallengeOptions&);
  struct Impl;
  explicit MessageConnection(std::shared_ptr<Impl> impl);
  [[nodiscard]] bool allows_md5(const ChallengeOptions& options) const;
  void prove(std::unique_ptr<messages::ProofSide> proof, const ChallengeOptions& options, const char* operation);
  [[nodiscard]] Impl& impl(const char* operation) const;
  std::shared_ptr<Impl> impl_;
};

/// Two ends of one connection. One of them can be given to a child process:
///
///     auto [ours, theirs] = remsh::pipe();
///     const int end = theirs.release();
///     ... start the child with `end` as its descriptor 3, and close(end) ...
///
/// A child in Python uses it as multiprocessing.connection.Connection(3), one in C++ as
/// MessageConnection::from_descriptor(3).
REMSH_API std::pair<MessageConnection, MessageConnection> pipe();

}  // namespace remsh
