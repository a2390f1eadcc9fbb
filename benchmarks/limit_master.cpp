// The limit of a fleet: a master that is one thread in one epoll, and makes no system call that it need not make.

#include "bare_hash.hpp"
#include "bare_line.hpp"
#include "bare_socket.hpp"
#include "fleet_identity.hpp"
#include "fleet_parts.hpp"
#include "machine.hpp"
#include "played_handshake.hpp"
#include "report.hpp"
#include "stat_bytes.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <utility>

namespace remsh::bench {

namespace {

class LimitMaster {
 public:
  LimitMaster(std::size_t slaves, const FleetOrders& orders)
      : listening_(listen_on_loopback(4096)), watch_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (!watch_) fail("epoll_create1");
    slaves_.reserve(slaves);
    nonces_.reserve(slaves);
    watch(listening_.socket.get(), listening_mark);
    orders.send(std::to_string(listening_.port));
  }

  void await(std::size_t count) {
    while (registered_ < count) {
      for_each_ready(-1, [&](std::uint64_t mark) {
        if (mark == listening_mark) {
          accept_all();
        } else {
          finish(mark);
        }
      });
    }
  }

  /// Calls all slaves once, and returns how many microseconds that took.
  double call_all() {
    constexpr std::size_t writes_between_reads = 256;
    const double begin = now();
    std::size_t sent = 0;
    std::size_t answered = 0;
    while (answered < slaves_.size()) {
      for (std::size_t i = 0; i < writes_between_reads && sent < slaves_.size(); ++i, ++sent) {
        slaves_[sent].write_all(request_.data(), request_.size());
      }
      for_each_ready(sent < slaves_.size() ? 0 : -1, [&](std::uint64_t mark) {
        if (slaves_[mark].read_some(buffer_.data(), buffer_.size()) == 0) throw std::runtime_error("a slave is gone");
        ++answered;
      });
    }
    return (now() - begin) * 1e6;
  }

 private:
  static constexpr std::uint64_t listening_mark = ~std::uint64_t{0};

  void watch(int descriptor, std::uint64_t mark) {
    epoll_event event{.events = EPOLLIN, .data = {.u64 = mark}};
    if (::epoll_ctl(watch_.get(), EPOLL_CTL_ADD, descriptor, &event) != 0) fail("epoll_ctl");
  }

  template <class Handle>
  void for_each_ready(int timeout_ms, Handle handle) {
    const int ready = ::epoll_wait(watch_.get(), events_.data(), static_cast<int>(events_.size()), timeout_ms);
    if (ready < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < ready; ++i) handle(events_[static_cast<std::size_t>(i)].data.u64);
  }

  void accept_all() {
    for (;;) {
      UniqueFd socket(::accept4(listening_.socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!socket && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
      if (!socket) fail("accept");
      set_no_delay(socket.get());
      watch(socket.get(), slaves_.size());
      Digest& nonce = nonces_.emplace_back();
      fill_at_random(nonce.data(), nonce.size());
      slaves_.emplace_back(std::move(socket)).write_all(nonce.data(), nonce.size());
    }
  }

  /// Checks the proof of a slave, which came in one piece, and proves the master.
  void finish(std::size_t slave) {
    const std::size_t got = slaves_[slave].read_some(buffer_.data(), buffer_.size());
    const BytesView bytes(buffer_.data(), got);
    if (got != BareHandshakeSizes::proofs + registration_.size()) throw std::runtime_error("a slave says too little");
    const BytesView theirs = bytes.substr(0, BareHandshakeSizes::nonce);
    const BytesView ours = view(nonces_[slave]);
    const BytesView proof = bytes.substr(BareHandshakeSizes::nonce, digest_bytes);
    if (proof != view(bare_proof(hmac_, theirs, ours))) throw std::runtime_error("a slave proves nothing");
    out_.assign(view(bare_proof(hmac_, ours, theirs))).append(registered_answer_);
    slaves_[slave].write_all(out_.data(), out_.size());
    ++registered_;
  }

  const ListeningSocket listening_;
  const UniqueFd watch_;
  const Bytes request_ = stat_request();
  const Bytes registration_ = fleet_registration();
  const Bytes registered_answer_ = bare_registered();
  BareHmac hmac_{fleet_key_of_limit().bytes()};
  std::vector<BareLine> slaves_;
  std::vector<Digest> nonces_;
  std::size_t registered_ = 0;
  std::array<epoll_event, 512> events_{};
  std::array<char, 4096> buffer_{};
  Bytes out_;
};

}  // namespace

void run_limit_master(std::size_t slaves, const FleetOrders& orders) {
  LimitMaster master(slaves, orders);
  while (const auto text = orders.receive()) {
    const FleetOrder order = parse_order(*text);
    if (order.word == "await") {
      master.await(static_cast<std::size_t>(order.number));
      orders.send("registered");
    } else if (order.word == "call_all") {
      std::vector<double> taken;
      while (taken.size() < static_cast<std::size_t>(order.number)) taken.push_back(master.call_all());
      orders.send(std::to_string(quantile(taken, 0.5)));
    } else {
      throw std::runtime_error("the master of the limit does not know the order " + order.word);
    }
  }
}

}  // namespace remsh::bench
