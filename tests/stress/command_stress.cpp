// Commands that write until they exit, one after the other and many at once: all of their output comes, and nothing after
// their result.
//
// REMSH_STRESS_ROUNDS: how many commands each thread runs.
#include "support/slaves.hpp"
#include "support/stress.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace remsh::test {

namespace {

/// Counts the runs that went wrong.
int run_commands(Slave& slave, int count) {
  int wrong = 0;
  for (int i = 0; i < count; ++i) {
    const std::string number = std::to_string(i);
    Bytes out;
    Bytes err;
    bool is_over = false;
    int late = 0;
    const auto into = [&is_over, &late](Bytes& bytes) {
      return [&bytes, &is_over, &late](BytesView piece) {
        bytes += piece;
        late += is_over ? 1 : 0;
      };
    };
    const auto result = slave.execute({"sh", "-c", "echo $0; echo $0 >&2; echo $0 $0; exec echo end", number},
                                      {.out = into(out), .err = into(err)});
    is_over = true;
    const bool is_right = result.ok() && out == number + "\n" + number + " " + number + "\nend\n" && err == number + "\n";
    slave.ping();  // what the slave had still sent would have come before its answer
    wrong += is_right && late == 0 ? 0 : 1;
  }
  return wrong;
}

}  // namespace

TEST_CASE("nothing of a command's output comes after its result, and nothing of it is missing") {
  const int rounds = std::stoi(setting("REMSH_STRESS_ROUNDS", "100"));
  Farm farm(Over::tcp);
  const auto slave = farm.start();
  REQUIRE(slave);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { wrong += run_commands(*slave, rounds); });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

}  // namespace remsh::test
