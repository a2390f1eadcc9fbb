#include "long_link.hpp"

#include "bare_socket.hpp"
#include "machine.hpp"

#include <remsh/base/bytes.hpp>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <deque>
#include <exception>
#include <list>
#include <utility>
#include <vector>

namespace remsh::bench {

namespace {

constexpr std::size_t packet = 1448;                            // what a packet of TCP carries over Ethernet
constexpr std::size_t most_under_way = std::size_t{64} << 20U;  // then the sender has to wait

/// One direction of a connection: from one socket to another.
class Direction {
 public:
  Direction(const LinkOptions& options, int from, int to) : options_(options), from_(from), to_(to) {}

  [[nodiscard]] bool is_over() const noexcept { return is_broken_ || (has_ended_ && pieces_.empty()); }
  [[nodiscard]] bool wants_to_read() const noexcept { return !has_ended_ && under_way_ < most_under_way; }
  [[nodiscard]] bool wants_to_write(double time) const { return !pieces_.empty() && pieces_.front().due <= time; }
  [[nodiscard]] int from() const noexcept { return from_; }
  [[nodiscard]] int to() const noexcept { return to_; }

  /// When the next piece is due; infinite if there is none.
  [[nodiscard]] double due() const { return pieces_.empty() ? HUGE_VAL : pieces_.front().due; }

  void read(double time) {
    std::array<char, 16 * packet> buffer;
    const ssize_t got = ::recv(from_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
      has_ended_ = true;
      return;
    }
    const auto size = static_cast<std::size_t>(got);
    is_free_at_ = std::max(is_free_at_, time) + static_cast<double>(size) / options_.bytes_per_second;
    double due = is_free_at_ + options_.delay;
    packets_ += static_cast<double>(size) / packet;
    if (options_.one_lost_in > 0 && packets_ >= static_cast<double>(options_.one_lost_in)) {
      packets_ = 0;
      due += 2 * options_.delay;
    }
    last_due_ = std::max(last_due_, due);
    pieces_.push_back({last_due_, Bytes(buffer.data(), size)});
    under_way_ += size;
  }

  void write() {
    Piece& piece = pieces_.front();
    const ssize_t sent = ::send(to_, piece.bytes.data(), piece.bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (sent < 0) {
      is_broken_ = true;
      return;
    }
    under_way_ -= static_cast<std::size_t>(sent);
    piece.bytes.erase(0, static_cast<std::size_t>(sent));
    if (piece.bytes.empty()) pieces_.pop_front();
    if (is_over()) ::shutdown(to_, SHUT_WR);
  }

 private:
  struct Piece {
    double due;
    Bytes bytes;
  };

  const LinkOptions& options_;
  const int from_;
  const int to_;
  std::deque<Piece> pieces_;
  std::size_t under_way_ = 0;
  double is_free_at_ = 0;  // when the last byte that came has left at the rate of the link
  double last_due_ = 0;
  double packets_ = 0;  // since the last loss
  bool has_ended_ = false;
  bool is_broken_ = false;
};

/// A connection at either end, and what is under way between them.
struct Line {
  Line(const LinkOptions& options, UniqueFd near, UniqueFd far)
      : near_end(std::move(near)),
        far_end(std::move(far)),
        directions{Direction(options, near_end.get(), far_end.get()),
                   Direction(options, far_end.get(), near_end.get())} {}

  const UniqueFd near_end;
  const UniqueFd far_end;
  std::array<Direction, 2> directions;
};

/// Passes everything on, until the process that gives orders is gone.
void pass_on(const LinkOptions& options, const UniqueFd& listening, const UniqueFd& orders) {
  std::uint16_t port = 0;
  std::list<Line> lines;
  for (;;) {
    std::vector<pollfd> polled{{orders.get(), POLLIN, 0}, {listening.get(), POLLIN, 0}};
    double next = HUGE_VAL;
    const double before = now();
    for (Line& line : lines) {
      for (const Direction& direction : line.directions) {
        const bool writes = direction.wants_to_write(before);
        polled.push_back({direction.wants_to_read() ? direction.from() : -1, POLLIN, 0});
        polled.push_back({writes ? direction.to() : -1, POLLOUT, 0});
        if (!writes) next = std::min(next, direction.due());
      }
    }
    const double wait = std::max(next - before, 0.0);
    const timespec limit{static_cast<time_t>(wait), static_cast<long>((wait - std::floor(wait)) * 1e9)};
    if (::ppoll(polled.data(), polled.size(), next < HUGE_VAL ? &limit : nullptr, nullptr) < 0 && errno != EINTR) {
      fail("ppoll");
    }
    const double after = now();
    auto at = polled.begin() + 2;
    for (Line& line : lines) {
      for (Direction& direction : line.directions) {
        if ((at++)->revents != 0) direction.read(after);
        if ((at++)->revents != 0) direction.write();
      }
    }
    lines.remove_if([](const Line& line) { return line.directions[0].is_over() && line.directions[1].is_over(); });
    if (polled[0].revents != 0 && ::read(orders.get(), &port, sizeof port) != sizeof port) return;
    if (polled[1].revents == 0) continue;
    UniqueFd near(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!near) continue;
    set_no_delay(near.get());
    lines.emplace_back(options, std::move(near), connect_to_loopback(port));
  }
}

}  // namespace

LongLink::LongLink(const LinkOptions& options) {
  ListeningSocket listening = listen_on_loopback(8);
  port_ = listening.port;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail("socketpair");
  orders_ = UniqueFd(ends[0]);
  UniqueFd theirs(ends[1]);
  pid_ = fork_child();
  if (pid_ > 0) return;
  orders_.reset();
  try {
    pass_on(options, listening.socket, theirs);
    ::_exit(0);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench: a long link: %s\n", error.what());
  }
  ::_exit(1);
}

LongLink::~LongLink() { end_child(pid_); }

void LongLink::lead_to(std::uint16_t port) {
  if (::write(orders_.get(), &port, sizeof port) != sizeof port) fail("an order to a long link");
}

}  // namespace remsh::bench
