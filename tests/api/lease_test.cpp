// Leases of slaves that run commands: nobody gets a slave while a command of its last holder lives.
#include "support/slaves.hpp"
#include "support/stubborn.hpp"

#include <functional>
#include <future>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

namespace remsh::test {

TEST_CASE("whoever reserves a slave next finds no command of the last holder, however that one left it") {
  using Leave = std::function<void(Slave&, const Stubborn&)>;
  const ExecuteOptions patient{.kill_after = std::chrono::hours(1)};
  const std::map<std::string, Leave> ways = {
      {"by a deadline",
       [&](Slave& slave, const Stubborn& stubborn) {
         ExecuteOptions options = patient;
         options.deadline = std::chrono::seconds(2);
         CHECK_THROWS_AS(static_cast<void>(slave.execute(stubborn.command(), options)), Timeout);
         REQUIRE(stubborn.lifeline.wait_for_begin());
       }},
      {"by a stop",
       [&](Slave& slave, const Stubborn& stubborn) {
         std::stop_source stop;
         ExecuteOptions options = patient;
         options.stop = stop.get_token();
         auto done = std::async(std::launch::async, [&] {
           CHECK_THROWS_AS(static_cast<void>(slave.execute(stubborn.command(), options)), Cancelled);
         });
         CHECK(stubborn.lifeline.wait_for_begin());
         stop.request_stop();
         done.get();
       }},
      {"by dropping what was started",
       [&](Slave& slave, const Stubborn& stubborn) {
         const auto pending = slave.start_execute(stubborn.command(), patient);
         CHECK(stubborn.lifeline.wait_for_begin());
       }},
  };
  for (const Over over : {Over::local_process, Over::tcp}) {
    Farm farm(over);
    const auto slave = farm.start();
    REQUIRE(slave != nullptr);
    for (const auto& way : ways) {
      const auto& words = way.first;
      const auto& leave = way.second;
      CAPTURE(words);
      const Stubborn stubborn;
      Lease lease = farm.slaves.reserve({.owner = "job 1", .deadline = no_wait});
      REQUIRE(lease);
      leave(*lease, stubborn);
      lease.release();
      CHECK_FALSE(farm.slaves.reserve({.deadline = no_wait}));
      const SlaveStatus status = farm.slaves.snapshot().at(0);
      CHECK(status.releasing);
      CHECK(status.reserved_by == "job 1");

      auto next = std::async(std::launch::async, [&] {
        Lease second = farm.slaves.reserve({.deadline = ample});
        CHECK(second);
        CHECK(stubborn.lifeline.wait_for_end());  // it has
        return second;
      });
      stubborn.open_gate();
      CHECK(next.get()->ping() > std::chrono::nanoseconds(0));
    }
  }
}

TEST_CASE("a slave that dies with the command of its last holder is not free, but gone") {
  Farm farm(Over::local_process);
  const auto slave = farm.start();
  const pid_t process = process_of(*slave);
  const Stubborn stubborn;
  {
    const Lease lease = farm.slaves.reserve({.deadline = no_wait});
    const auto pending = lease->start_execute(stubborn.command(), {.kill_after = std::chrono::hours(1)});
    CHECK(stubborn.lifeline.wait_for_begin());
  }
  auto next = std::async(std::launch::async, [&] { return farm.slaves.reserve({.deadline = ample}); });
  CHECK(::kill(process, SIGKILL) == 0);
  const auto again = farm.start("another");
  CHECK(next.get().slave() == again);
  stubborn.open_gate();
}

}  // namespace remsh::test
