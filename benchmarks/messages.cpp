// M1: messages of 100 bytes there and back, and of 1 MiB one way.

#include "message_peer.hpp"
#include "timing.hpp"
#include "works.hpp"

#include <unistd.h>

#include <string>

namespace remsh::bench {

namespace {

class Messages final : public Work {
 public:
  explicit Messages(const Bench& bench)
      : bench_(bench),
        tcp_{"tcp", "AF_INET", bench.tcp_limit, bench.tcp_messages, bench.tcp_messages.connect("127.0.0.1:0")},
        unix_{"unix", "AF_UNIX", bench.unix_limit, bench.unix_messages, bench.unix_messages.connect("")} {
    placements_.pop_back();  // the small ones without it: it depends too much on the machine's mood
  }

  void run_round(std::size_t round, Report& report) override {
    lines_ = 0;
    for (Socket* socket : {&tcp_, &unix_}) {
      for (const Placement& placement : placements_) run_small(*socket, placement, round, report);
      place(::getpid(), everywhere_);
      place(socket->limit.pid(), everywhere_);
      place(socket->peer.pid(), everywhere_);
      run_large(*socket, round, report);
    }
  }

  [[nodiscard]] std::size_t lines() const override { return lines_; }

 private:
  struct Socket {
    std::string name;
    const char* python_family;
    LimitPeer& limit;
    MessagePeer& peer;
    MessageConnection connection;
  };

  void add(Report& report, const Measure& measure, double limit, double ours) {
    report.add(measure, limit, ours);
    ++lines_;
  }

  void run_small(Socket& socket, const Placement& placement, std::size_t round, Report& report) {
    place(::getpid(), placement.caller);
    place(socket.limit.pid(), placement.peer);
    place(socket.peer.pid(), placement.peer);
    const Bytes message(MessagePeer::small_message, 'x');
    const auto [bare, full] = in_turns(
        round,
        [&] {
          auto ping_pong = socket.limit.start_ping_pong(message, message.size());
          return time_each(bench_.options.seconds, socket.limit.pid(), [&] { ping_pong.once(); });
        },
        [&] {
          return time_each(bench_.options.seconds, socket.peer.pid(), [&] { MessagePeer::once(socket.connection); });
        });
    const std::string work = "M1 message of 100 bytes, " + socket.name + " " + placement.name;
    add(report, {work, "p50 us", Measure::Better::less, 1.15}, bare.p50_us, full.p50_us);
    add(report, {work, "CPU us", Measure::Better::less, {}}, bare.cpu_us, full.cpu_us);
    const auto pythons = measure_pythons(socket.python_family, placement.caller, placement.peer, bench_.options.seconds,
                                         MessagePeer::large_message);
    if (pythons) add(report, {work + ", Pythons", "p50 us", Measure::Better::less, {}}, bare.p50_us, pythons->p50_us);
  }

  void run_large(Socket& socket, std::size_t round, Report& report) {
    const auto bytes = static_cast<double>(bench_.options.bytes);
    const auto [bare, full] = in_turns(
        round,
        [&] {
          return time_once(bytes, socket.limit.pid(),
                           [&] { socket.limit.sink(bench_.options.bytes, MessagePeer::large_message); });
        },
        [&] {
          return time_once(bytes, socket.peer.pid(), [&] {
            MessagePeer::send_large(socket.connection, bench_.options.bytes / MessagePeer::large_message);
          });
        });
    const std::string work = "M1 messages of 1 MiB, " + socket.name;
    add(report, {work, "MiB/s", Measure::Better::more, 1.05}, bare.mib_per_second, full.mib_per_second);
    add(report, {work, "CPU s/GiB", Measure::Better::less, {}}, bare.cpu_per_gib, full.cpu_per_gib);
    const auto pythons = measure_pythons(socket.python_family, everywhere_, everywhere_, 0.01, bench_.options.bytes);
    if (pythons) {
      add(report, {work + ", Pythons", "MiB/s", Measure::Better::more, {}}, bare.mib_per_second,
          pythons->mib_per_second);
    }
  }

  const Bench& bench_;
  const std::vector<std::size_t> everywhere_ = usable_cpus();
  std::vector<Placement> placements_ = placements();
  Socket tcp_;
  Socket unix_;
  std::size_t lines_ = 0;
};

}  // namespace

std::unique_ptr<Work> make_messages(const Bench& bench) { return std::make_unique<Messages>(bench); }

}  // namespace remsh::bench
