// on_each: many slaves at once.
#include "support/slaves.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

namespace remsh::test {

namespace {

std::vector<std::shared_ptr<Slave>> some_slaves(Farm& farm, int count) {
  std::vector<std::shared_ptr<Slave>> slaves;
  for (int i = 0; i < count; ++i) slaves.push_back(farm.start("w" + std::to_string(i)));
  return slaves;
}

}  // namespace

TEST_CASE("an operation runs on each slave, and the results are in the order of the slaves") {
  Farm farm(Over::unix_socket);
  const auto slaves = some_slaves(farm, 3);
  std::vector<std::string> reported;
  const auto results = remsh::on_each(slaves,
                                      [](Slave& slave) {
                                        return slave.start_execute({"echo", slave.name()});
                                      },
                                      {.each = [&](const auto& one) { reported.push_back(one.slave->name()); }});
  REQUIRE(results.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(results[i].slave == slaves[i]);
    CHECK(results[i].ok());
    CHECK(results[i].value->out == "w" + std::to_string(i) + "\n");
  }
  std::sort(reported.begin(), reported.end());
  CHECK(reported == std::vector<std::string>{"w0", "w1", "w2"});

  const auto made = remsh::on_each(slaves, [](Slave& slave) { return slave.start_mkdir("dir"); });
  CHECK(made[2].ok());
  CHECK(slaves[2]->stat("dir"));
  CHECK(remsh::on_each({}, [](Slave& slave) { return slave.start_ping(); }).empty());
}

TEST_CASE("no more slaves work at once than are to") {
  Farm farm(Over::unix_socket);
  const auto slaves = some_slaves(farm, 5);
  std::size_t at_work = 0;
  std::size_t most = 0;
  const auto results = remsh::on_each(slaves,
                                      [&](Slave& slave) {
                                        most = std::max(most, ++at_work);
                                        return slave.start_execute({"true"});
                                      },
                                      {.at_once = 2, .each = [&](const auto&) { --at_work; }});
  CHECK(most == 2);
  CHECK(std::all_of(results.begin(), results.end(), [](const auto& one) { return one.ok(); }));
}

TEST_CASE("after some failures no further slave begins") {
  Farm farm(Over::unix_socket);
  const auto slaves = some_slaves(farm, 5);
  const auto results = remsh::on_each(slaves,
                                      [&](Slave& slave) {
                                        if (slave.name() == "w1") throw std::runtime_error("not this one");
                                        return slave.start_execute({slave.name() == "w0" ? "true" : "false"});
                                      },
                                      {.at_once = 1, .max_failures = 2});
  CHECK(results[0].ok());
  CHECK(results[1].error);
  CHECK_FALSE(results[2].ok());
  CHECK(results[2].value->exit_code == 1);
  CHECK(results[2].begun);
  CHECK_FALSE(results[3].begun);
  CHECK_FALSE(results[4].ok());
}

TEST_CASE("a slave that is slow or gone delays no other one") {
  Farm farm(Over::unix_socket);
  const auto slaves = some_slaves(farm, 5);
  slaves[1]->disconnect();
  slaves[0]->execute({"mkfifo", "go"});
  int over = 0;
  const auto results =
      remsh::on_each(slaves,
                     [&](Slave& slave) {
                       return slave.start_execute({"sh", "-c", slave.name() == "w0" ? "cat go" : "exit 0"});
                     },
                     {.at_once = 2, .each = [&](const auto&) {
                        // The slow one gets what it waits for when all others are over.
                        if (++over == 4) slaves[0]->execute({"sh", "-c", "echo late > go"});
                      }});
  CHECK(results[0].value->out == "late\n");
  CHECK_THROWS_AS(std::rethrow_exception(results[1].error), ConnectionLost);
  for (std::size_t i = 2; i < 5; ++i) CHECK(results[i].ok());
}

TEST_CASE("a stop begins no further slave, and what the callback throws ends all") {
  Farm farm(Over::unix_socket);
  const auto slaves = some_slaves(farm, 3);
  std::stop_source stop;
  const auto results =
      remsh::on_each(slaves, [](Slave& slave) { return slave.start_ping(); },
                     {.at_once = 1, .stop = stop.get_token(), .each = [&](const auto&) { stop.request_stop(); }});
  CHECK(results[0].ok());
  CHECK_FALSE(results[1].begun);

  const Lifeline lifeline;
  const auto work = [&](Slave& slave) {
    return slave.start_execute(slave.name() == "w0" ? lifeline.endless_command() : std::vector<Bytes>{"true"});
  };
  const auto once_begun = [&](const auto&) {
    CHECK(lifeline.wait_for_begin());
    throw std::runtime_error("enough");
  };
  CHECK_THROWS_WITH_AS(remsh::on_each(slaves, work, {.each = once_begun}), "enough", std::runtime_error);
  CHECK(lifeline.wait_for_end());
}

}  // namespace remsh::test
