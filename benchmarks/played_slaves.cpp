// The slaves of a fleet, played by one thread that waits in one epoll: what they cost does not depend on the library.

#include "bare_line.hpp"
#include "bare_socket.hpp"
#include "box_scan.hpp"
#include "fleet_parts.hpp"
#include "machine.hpp"
#include "played_answers.hpp"
#include "played_handshake.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <memory>
#include <stdexcept>
#include <utility>

namespace remsh::bench {

namespace {

/// How many slaves register at the same time: well below what a listener allows.
constexpr std::size_t registering_at_once = 64;

constexpr std::size_t slaves_of_a_host = 5'000;  // with many more the system takes long to find a port

class PlayedSlaves {
 public:
  PlayedSlaves(FleetKind kind, std::size_t first, std::size_t slaves, std::uint16_t port, const FleetOrders& orders)
      : first_(first),
        port_(port),
        orders_(orders),
        handshake_(kind == FleetKind::remsh ? make_remsh_handshake(first, slaves) : make_bare_handshake()),
        watch_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (!watch_) fail("epoll_create1");
    slaves_.reserve(slaves);
    watch(orders.descriptor(), orders_mark);
    orders.send("ready");
  }
  PlayedSlaves(const PlayedSlaves&) = delete;
  PlayedSlaves& operator=(const PlayedSlaves&) = delete;
  ~PlayedSlaves() {
    for (const Slave& slave : slaves_) reset_when_closed(slave.line.descriptor());
  }

  void run() {
    std::array<epoll_event, 512> events;
    for (;;) {
      while (!to_connect_.empty() && registering_ < registering_at_once) connect_one();
      const int ready = ::epoll_wait(watch_.get(), events.data(), static_cast<int>(events.size()), -1);
      if (ready < 0 && errno != EINTR) fail("epoll_wait");
      for (int i = 0; i < ready; ++i) {
        const std::uint64_t mark = events[static_cast<std::size_t>(i)].data.u64;
        if (mark == orders_mark) {
          const auto order = orders_.receive();
          if (!order) return;
          obey(parse_order(*order));
        } else if (!serve(mark)) {
          return;
        }
      }
    }
  }

 private:
  static constexpr std::uint64_t orders_mark = ~std::uint64_t{0};

  enum class Stage : std::uint8_t { challenge, welcome, serving };

  struct Slave {
    BareLine line{UniqueFd()};
    Stage stage = Stage::challenge;
    Bytes partial = {};  // the beginning of a message
  };

  void watch(int descriptor, std::uint64_t mark) {
    epoll_event event{.events = EPOLLIN, .data = {.u64 = mark}};
    if (::epoll_ctl(watch_.get(), EPOLL_CTL_ADD, descriptor, &event) != 0) fail("epoll_ctl");
  }

  void obey(const FleetOrder& order) {
    const auto count = static_cast<std::size_t>(order.number);
    if (order.word == "reconnect") {
      for (std::size_t number = slaves_.size() - count; number < slaves_.size(); ++number) {
        reset_when_closed(slaves_[number].line.descriptor());
        slaves_[number] = Slave();
        to_connect_.push_back(number);
      }
    } else {
      for (std::size_t i = 0; i < count; ++i, slaves_.emplace_back()) to_connect_.push_back(slaves_.size());
    }
  }

  void connect_one() {
    const std::size_t number = to_connect_.front();
    to_connect_.pop_front();
    ++registering_;
    BareLine& line = slaves_[number].line;
    line = BareLine(connect_to_loopback(port_, static_cast<std::uint32_t>((first_ + number) / slaves_of_a_host)));
    watch(line.descriptor(), number);
    const Bytes first = handshake_->begin(number);
    line.write_all(first.data(), first.size());
  }

  /// False if the master is gone.
  bool serve(std::size_t number) {
    Slave& slave = slaves_[number];
    const std::size_t got = slave.line.read_some(buffer_.data(), buffer_.size());
    if (got == 0) return false;
    BytesView bytes(buffer_.data(), got);
    if (!slave.partial.empty()) bytes = slave.partial.append(bytes);
    out_.clear();
    while (const std::size_t used = take(number, bytes)) bytes.remove_prefix(used);
    slave.partial = Bytes(bytes);
    slave.line.write_all(out_.data(), out_.size());
    return true;
  }

  /// Takes one message, and returns its size; 0 if it is not all there.
  std::size_t take(std::size_t number, BytesView bytes) {
    Slave& slave = slaves_[number];
    std::size_t size = 0;
    switch (slave.stage) {
      case Stage::challenge:
        size = handshake_->take_challenge(number, bytes, out_);
        if (size > 0) slave.stage = Stage::welcome;
        break;
      case Stage::welcome:
        size = handshake_->take_welcome(number, bytes);
        if (size > 0) slave.stage = Stage::serving;
        if (size > 0 && --registering_ == 0 && to_connect_.empty()) orders_.send("registered");
        break;
      case Stage::serving:
        size = box_size(bytes);
        if (size > 0) answers_.append_to(out_, bytes.substr(0, size));
        break;
    }
    return size;
  }

  const std::size_t first_;  // the number of the first slave in the fleet
  const std::uint16_t port_;
  const FleetOrders& orders_;
  const std::unique_ptr<PlayedHandshake> handshake_;
  const PlayedAnswers answers_;
  const UniqueFd watch_;
  std::vector<Slave> slaves_;
  std::deque<std::size_t> to_connect_;
  std::size_t registering_ = 0;
  std::array<char, std::size_t{1} << 16U> buffer_{};
  Bytes out_;
};

}  // namespace

void run_played_slaves(FleetKind kind, std::size_t first, std::size_t slaves, std::uint16_t port,
                       const FleetOrders& orders) {
  const auto played = std::make_unique<PlayedSlaves>(kind, first, slaves, port, orders);
  played->run();
}

}  // namespace remsh::bench
