// LimitPeer: the bare limits, the same works done with nothing but system calls.
#pragma once

#include "bare_line.hpp"

#include <remsh/base/bytes.hpp>

#include <sys/socket.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace remsh::bench {

/// The other side of every limit: a forked child with one thread that does one order for each connection. To be made
/// before this process has a second thread. One thread at a time.
///
///     LimitPeer peer(LimitPeer::Kind::tcp);
///     auto ping_pong = peer.start_ping_pong(request, answer.size());
///     ping_pong.once();
class LimitPeer {
 public:
  enum class Kind : std::uint8_t { tcp, unix_socket, tls };

  explicit LimitPeer(Kind kind);
  LimitPeer(const LimitPeer&) = delete;
  LimitPeer& operator=(const LimitPeer&) = delete;
  ~LimitPeer();  ///< ends the child

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] std::uint16_t port() const noexcept;  ///< TCP only

  /// Whole requests of one size, each answered by so many bytes, blocking on both sides.
  class PingPong {
   public:
    void once();

   private:
    friend class LimitPeer;
    PingPong(BareLine line, Bytes request, std::size_t answer);
    BareLine line_;
    Bytes request_;
    Bytes answer_;
  };
  PingPong start_ping_pong(const Bytes& request, std::size_t answer);

  /// The same, but for each request the child makes the system call stat().
  PingPong start_stat(const Bytes& request, std::size_t answer);

  /// A connection on which the child answers all whole requests of each of its reads by one write, with one stat() for
  /// each request. For callers that have several requests under way; TCP and unix sockets only.
  BareLine start_stats(std::size_t request, std::size_t answer);

  /// The same, but for each request the child starts /bin/true by posix_spawn(), with a pipe each for both outputs,
  /// reads them to their ends and waits.
  PingPong start_spawner(const Bytes& request, std::size_t answer);

  /// A file that is moved over a connection of its own, which is there already; from the order to the last byte.
  class Transfer {
   public:
    /// A file to the child, which writes it, to its word that it is done.
    void send(const std::string& from, const std::string& to);

    /// A file of the child to one of ours.
    void fetch(const std::string& from, const std::string& to);

   private:
    friend class LimitPeer;
    explicit Transfer(BareLine line);
    BareLine line_;
  };
  Transfer start_transfer();

  /// The same by way of a port of this host, which leads to port(); TCP only.
  Transfer start_transfer_at(std::uint16_t port);

  /// Bytes to the child, which reads pieces of this size, to its word that it is done.
  void sink(std::uint64_t bytes, std::size_t piece);

  /// The child starts `head -c BYTES /dev/zero` and relays its output; gives how many bytes came.
  std::uint64_t relay(std::uint64_t bytes);

 private:
  struct Order;
  static void do_as_told(BareLine& line, const Order& order);  // in the child
  [[nodiscard]] BareLine connect() const;
  [[nodiscard]] BareLine give(const Order& order) const;

  Kind kind_;
  sockaddr_storage address_{};
  socklen_t address_size_ = 0;
  pid_t pid_ = -1;
};

}  // namespace remsh::bench
