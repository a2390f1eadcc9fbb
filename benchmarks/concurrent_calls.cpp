// W2 on one slave: 16 callers, and 16 calls that one thread starts at once.

#include "call_rate.hpp"
#include "shared_line.hpp"
#include "slaves.hpp"
#include "stat_bytes.hpp"
#include "timing.hpp"
#include "works.hpp"

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace remsh::bench {

namespace {

constexpr std::size_t width = 16;
static_assert(width <= SharedLine::max_callers);

class ConcurrentCalls final : public Work {
 public:
  explicit ConcurrentCalls(const Bench& bench) : bench_(bench), ours_(bench.slaves.start_tcp("concurrent")) {}

  void run_round(std::size_t round, Report& report) override {
    add("W2 16 callers", 1.33, 1.35,
        in_turns(
            round, [&] { return bare_callers(); }, [&] { return our_callers(); }),
        report);
    add("W2 16 calls at once", 1.3, 1.5,
        in_turns(
            round, [&] { return bare_batch(); }, [&] { return our_batch(); }),
        report);
  }

  [[nodiscard]] std::size_t lines() const override { return 2 * 2; }

 private:
  CallRate bare_callers() {
    SharedLine line(bench_.tcp_limit.start_stats(request_.size(), answer_), request_, answer_);
    return measure_threads(bench_.options.seconds, width, {bench_.tcp_limit.pid()},
                           [&](std::size_t caller) { line.call(caller); });
  }

  CallRate our_callers() {
    return measure_threads(bench_.options.seconds, width, {ours_.pid},
                           [&](std::size_t) { static_cast<void>(ours_.slave->stat(stat_path)); });
  }

  /// One thread writes 16 requests at once and reads all answers.
  CallRate bare_batch() {
    BareLine line = bench_.tcp_limit.start_stats(request_.size(), answer_);
    Bytes requests;
    for (std::size_t i = 0; i < width; ++i) requests += request_;
    Bytes answers(width * answer_, '\0');
    return batches(bench_.tcp_limit.pid(), [&] {
      line.write_all(requests.data(), requests.size());
      if (!line.read_all(answers.data(), answers.size())) {
        throw std::runtime_error("the other side of a limit is gone");
      }
    });
  }

  /// One thread starts 16 calls and then waits for each.
  CallRate our_batch() {
    std::vector<Pending<std::optional<FileInfo>>> calls;
    calls.reserve(width);
    return batches(ours_.pid, [&] {
      {
        const auto together = ours_.slave->batch();
        for (std::size_t i = 0; i < width; ++i) calls.push_back(ours_.slave->start_stat(stat_path));
      }
      for (auto& call : calls) {
        if (!call.wait()) throw std::runtime_error("stat() found nothing");
      }
      calls.clear();
    });
  }

  template <class Batch>
  CallRate batches(pid_t peer, Batch batch) {
    batch();
    return measure_rate({peer}, [&] {
      std::size_t calls = 0;
      for (const double end = now() + bench_.options.seconds; now() < end; calls += width) batch();
      return calls;
    });
  }

  static void add(const std::string& work, double rate_goal, double cpu_goal, const std::pair<CallRate, CallRate>& both,
                  Report& report) {
    report.add({work, "calls/s", Measure::Better::more, rate_goal}, both.first.per_second, both.second.per_second);
    report.add({work, "CPU us", Measure::Better::less, cpu_goal}, both.first.cpu_us, both.second.cpu_us);
  }

  const Bench& bench_;
  const Bytes request_ = stat_request();
  const std::size_t answer_ = stat_answer().size();
  Slaves::Started ours_;
};

}  // namespace

std::unique_ptr<Work> make_concurrent_calls(const Bench& bench) { return std::make_unique<ConcurrentCalls>(bench); }

}  // namespace remsh::bench
