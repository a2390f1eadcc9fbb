// W3 and W4 by OpenSSH and rsync, next to the limits under TLS.

#include "limits.hpp"
#include "openssh.hpp"
#include "timing.hpp"
#include "works.hpp"

#include <unistd.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace remsh::bench {

namespace {

class OtherPrograms final : public Work {
 public:
  explicit OtherPrograms(const Bench& bench)
      : bench_(bench), from_(bench.scratch + "/from"), to_(bench.scratch + "/their-to") {
    try {
      ssh_.emplace(bench.scratch);
    } catch (const std::exception& why) {
      std::printf("W3 and W4 leave OpenSSH and rsync out: %s\n", why.what());
      return;
    }
    for (const auto& [name, copier] : {std::pair{"scp", OpenSsh::Copier::scp}, {"rsync", OpenSsh::Copier::rsync}}) {
      if (OpenSsh::has(copier)) {
        copiers_.push_back({name, copier});
      } else {
        std::printf("W3 leaves %s out: it is not installed.\n", name);
      }
    }
  }

  void run_round(std::size_t round, Report& report) override {
    if (!ssh_) return;
    if (bench_.options.works.contains("W3")) copy(round, report);
    if (bench_.options.works.contains("W4")) execute(round, report);
  }

  [[nodiscard]] std::size_t lines() const override {
    if (!ssh_) return 0;
    const auto& works = bench_.options.works;
    return (works.contains("W3") ? 2 * copiers_.size() : 0) + (works.contains("W4") ? 1 : 0);
  }

 private:
  struct Copier {
    std::string name;
    OpenSsh::Copier copier;
  };

  void copy(std::size_t round, Report& report) {
    for (const bool sends : {true, false}) {
      for (const Copier& one : copiers_) {
        const auto limit = [&] {
          auto transfer = bench_.tls_limit.start_transfer();
          return rate_of([&] { sends ? transfer.send(from_, to_) : transfer.fetch(from_, to_); });
        };
        const auto theirs = [&] {
          return rate_of([&] { sends ? ssh_->send(one.copier, from_, to_) : ssh_->fetch(one.copier, from_, to_); });
        };
        const auto [bare, full] = in_turns(round, limit, theirs);
        const std::string what = sends ? "send" : "fetch";
        report.add({"W3 " + what + " by " + one.name, "MiB/s", Measure::Better::more, {}}, bare, full);
      }
    }
  }

  void execute(std::size_t round, Report& report) {
    constexpr std::size_t message = 100;  // about as long as ours
    const auto limit = [&] {
      auto spawner = bench_.tls_limit.start_spawner(Bytes(message, 'r'), message);
      return time_each(bench_.options.seconds, bench_.tls_limit.pid(), [&] { spawner.once(); }).p50_us;
    };
    const auto theirs = [&] {
      return time_each(bench_.options.seconds, ::getpid(), [&] { ssh_->execute("/bin/true"); }).p50_us;
    };
    const auto [bare, full] = in_turns(round, limit, theirs);
    report.add({"W4 /bin/true by ssh", "p50 us", Measure::Better::less, {}}, bare, full);
  }

  /// MiB/s of one copy.
  template <class Move>
  double rate_of(Move move) {
    std::filesystem::remove(to_);
    const double begin = now();
    move();
    const double taken = now() - begin;
    if (std::filesystem::file_size(to_) != bench_.options.bytes) throw std::runtime_error("not all of a file came");
    std::filesystem::remove(to_);
    return static_cast<double>(bench_.options.bytes) / (1 << 20) / taken;
  }

  const Bench& bench_;
  const std::string from_;  // which Transfers has written
  const std::string to_;
  std::vector<Copier> copiers_;
  std::optional<OpenSsh> ssh_;
};

}  // namespace

std::unique_ptr<Work> make_other_programs(const Bench& bench) { return std::make_unique<OtherPrograms>(bench); }

}  // namespace remsh::bench
