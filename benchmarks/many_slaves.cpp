// W2 on many slaves: a caller for each, and one thread that asks them all. Each slave is a process of its own, ours and
// those of the limit.

#include "call_rate.hpp"
#include "slaves.hpp"
#include "stat_bytes.hpp"
#include "timing.hpp"
#include "works.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace remsh::bench {

namespace {

class ManySlaves final : public Work {
 public:
  explicit ManySlaves(const Bench& bench)
      : bench_(bench), ours_(bench.slaves.start_many_tcp("many", bench.many_limits.size())) {
    for (const LimitPeer& peer : bench.many_limits) limit_pids_.push_back(peer.pid());
    for (const auto& started : ours_) our_pids_.push_back(started.pid);
  }

  void run_round(std::size_t round, Report& report) override {
    const std::string count = std::to_string(ours_.size());
    add("W2 " + count + " slaves, a caller each", 1.25,
        in_turns(
            round, [&] { return bare_threads(); }, [&] { return our_threads(); }),
        report);
    add("W2 " + count + " slaves, one thread", 1.3,
        in_turns(
            round, [&] { return bare_epoll(); }, [&] { return our_queue(); }),
        report);
  }

  [[nodiscard]] std::size_t lines() const override { return 2 * 3; }

 private:
  std::vector<BareLine> connect() {
    std::vector<BareLine> lines;
    for (LimitPeer& peer : bench_.many_limits) lines.push_back(peer.start_stats(request_.size(), answer_));
    return lines;
  }

  void read_answer(BareLine& line) const {
    std::array<char, 512> answer;
    if (!line.read_all(answer.data(), answer_)) throw std::runtime_error("the other side of a limit is gone");
  }

  /// A thread for each socket, which blocks on it.
  CallRate bare_threads() {
    std::vector<BareLine> lines = connect();
    return measure_threads(bench_.options.seconds, lines.size(), limit_pids_, [&](std::size_t caller) {
      lines[caller].write_all(request_.data(), request_.size());
      read_answer(lines[caller]);
    });
  }

  CallRate our_threads() {
    return measure_threads(bench_.options.seconds, ours_.size(), our_pids_,
                           [&](std::size_t caller) { static_cast<void>(ours_[caller].slave->stat(stat_path)); });
  }

  /// One thread keeps one request under way on each socket.
  CallRate bare_epoll() {
    std::vector<BareLine> lines = connect();
    const UniqueFd watch(::epoll_create1(EPOLL_CLOEXEC));
    if (!watch) fail("epoll_create1");
    for (std::size_t i = 0; i < lines.size(); ++i) {
      epoll_event event{.events = EPOLLIN, .data = {.u64 = i}};
      if (::epoll_ctl(watch.get(), EPOLL_CTL_ADD, lines[i].descriptor(), &event) != 0) fail("epoll_ctl");
    }
    const auto ask = [&](BareLine& line) { line.write_all(request_.data(), request_.size()); };
    return measure_rate(limit_pids_, [&] {
      std::for_each(lines.begin(), lines.end(), ask);
      std::size_t calls = 0;
      std::size_t under_way = lines.size();
      std::array<epoll_event, 64> events;
      for (const double end = now() + bench_.options.seconds; under_way > 0;) {
        const int ready = ::epoll_wait(watch.get(), events.data(), static_cast<int>(events.size()), -1);
        if (ready < 0 && errno != EINTR) fail("epoll_wait");
        const bool goes_on = now() < end;
        for (int i = 0; i < ready; ++i) {
          BareLine& line = lines[events[static_cast<std::size_t>(i)].data.u64];
          read_answer(line);
          ++calls;
          if (goes_on) {
            ask(line);
          } else {
            --under_way;
          }
        }
      }
      return calls;
    });
  }

  /// The same with a CompletionQueue: each handler starts the next call on its slave.
  CallRate our_queue() {
    return measure_rate(our_pids_, [&] {
      CompletionQueue queue;
      OneThread asking{queue, now() + bench_.options.seconds};
      for (const auto& started : ours_) asking.ask(*started.slave);
      queue.run();
      return asking.calls;
    });
  }

  struct OneThread {
    CompletionQueue& queue;
    const double end;
    std::size_t calls = 0;

    void ask(Slave& slave) {
      slave.start_stat(stat_path).then(queue, [this, &slave](auto call) {
        if (!call.wait()) throw std::runtime_error("stat() found nothing");
        ++calls;
        if (now() < end) ask(slave);
      });
    }
  };

  static void add(const std::string& work, double goal, const std::pair<CallRate, CallRate>& both, Report& report) {
    report.add({work, "calls/s", Measure::Better::more, goal}, both.first.per_second, both.second.per_second);
    report.add({work, "CPU us", Measure::Better::less, 1.3}, both.first.cpu_us, both.second.cpu_us);
    report.add({work, "master CPU us", Measure::Better::less, {}}, both.first.caller_cpu_us, both.second.caller_cpu_us);
  }

  const Bench& bench_;
  const Bytes request_ = stat_request();
  const std::size_t answer_ = stat_answer().size();
  std::vector<Slaves::Started> ours_;
  std::vector<pid_t> our_pids_;
  std::vector<pid_t> limit_pids_;
};

}  // namespace

std::unique_ptr<Work> make_many_slaves(const Bench& bench) { return std::make_unique<ManySlaves>(bench); }

}  // namespace remsh::bench
