// W1 by other libraries, each in a program of its own: peers/.

#include "limits.hpp"
#include "stat_bytes.hpp"
#include "timing.hpp"
#include "works.hpp"

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace remsh::bench {

namespace {

/// The programs are beside this one, if the packages of their libraries were there when it was built.
std::filesystem::path program_of(const std::string& name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / ("peer-" + name);
}

std::string in_words(const std::vector<std::size_t>& cpus) {
  std::string text;
  for (const std::size_t cpu : cpus) text += (text.empty() ? "" : ",") + std::to_string(cpu);
  return text;
}

/// Runs a program that prints the figures of its calls.
Latency measured_by(const std::string& program, double seconds, const Placement& placement) {
  const std::string command = "'" + program + "' " + std::to_string(seconds) + " " + in_words(placement.caller) + " " +
                              in_words(placement.peer);
  std::FILE* const output = ::popen(command.c_str(), "re");
  if (output == nullptr) fail("popen");
  Latency latency{};
  const int count = std::fscanf(output, "%lf %lf %lf", &latency.p50_us, &latency.p99_us, &latency.cpu_us);
  if (::pclose(output) != 0 || count != 3) throw std::runtime_error(program + " has failed");
  return latency;
}

class OtherLibraries final : public Work {
 public:
  explicit OtherLibraries(const Bench& bench) : bench_(bench) {
    for (const auto& [name, program] : {std::pair{"gRPC", "grpc"}, std::pair{"Cap'n Proto", "capnp"}}) {
      const auto path = program_of(program);
      if (std::filesystem::exists(path)) {
        libraries_.push_back({name, path});
      } else {
        std::printf("W1 leaves %s out: this was built without its packages.\n", name);
      }
    }
  }

  void run_round(std::size_t round, Report& report) override {
    for (const Library& library : libraries_) {
      for (const Placement& placement : placements_) {
        if (placement.has_goal) run(library, placement, round, report);
      }
    }
    place(::getpid(), placements_.back().caller);
  }

  [[nodiscard]] std::size_t lines() const override {
    std::size_t measured = 0;
    for (const Placement& placement : placements_) measured += placement.has_goal ? 1 : 0;
    return libraries_.size() * measured * 2;
  }

 private:
  struct Library {
    std::string name;
    std::string program;
  };

  void run(const Library& library, const Placement& placement, std::size_t round, Report& report) {
    const auto limit = [&] {
      place(::getpid(), placement.caller);
      place(bench_.tcp_limit.pid(), placement.peer);
      auto ping_pong = bench_.tcp_limit.start_stat(request_, answer_);
      return time_each(bench_.options.seconds, bench_.tcp_limit.pid(), [&] { ping_pong.once(); });
    };
    const auto theirs = [&] {
      place(::getpid(), placements_.back().caller);  // the program inherits this
      return measured_by(library.program, bench_.options.seconds, placement);
    };
    const auto [bare, full] = in_turns(round, limit, theirs);
    const std::string work = "W1 stat by " + library.name + ", tcp " + placement.name;
    report.add({work, "p50 us", Measure::Better::less, {}}, bare.p50_us, full.p50_us);
    report.add({work, "CPU us", Measure::Better::less, {}}, bare.cpu_us, full.cpu_us);
  }

  const Bench& bench_;
  const std::vector<Placement> placements_ = placements();
  const Bytes request_ = stat_request();
  const std::size_t answer_ = stat_answer().size();
  std::vector<Library> libraries_;
};

}  // namespace

std::unique_ptr<Work> make_other_libraries(const Bench& bench) { return std::make_unique<OtherLibraries>(bench); }

}  // namespace remsh::bench
