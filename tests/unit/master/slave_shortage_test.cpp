// What get_slave() and reserve() say, on request, when no slave came in time.
#include <remsh/master/slave_collection.hpp>

#include <remsh/master/transport_slave_listener.hpp>

#include "support/fake_backend.hpp"
#include "unit/master/name_starts_with.hpp"

#include <doctest/doctest.h>

#include <stop_token>
#include <string>
#include <utility>
#include <vector>

using namespace remsh;
using namespace std::chrono_literals;
using remsh::test::FakeSlave;
using remsh::test::name_starts_with;

namespace {

/// What the Timeout of a request says.
std::string why(SlaveCollection& slaves, const SlaveFilter& filter = {}, Deadline deadline = no_wait) {
  try {
    static_cast<void>(slaves.reserve({.filter = filter, .deadline = deadline, .explain = true}));
  } catch (const Timeout& timeout) {
    CHECK(timeout.code() == Errc::timeout);
    CHECK(timeout.operation() == "reserve");
    return timeout.message();
  }
  return "a slave";
}

}  // namespace

TEST_CASE("without explain a deadline that passes is no error") {
  SlaveCollection slaves;
  CHECK_FALSE(slaves.reserve({.deadline = no_wait}));
  CHECK(slaves.get_slave({.deadline = no_wait}) == nullptr);
}

TEST_CASE("get_slave() explains as reserve() does, and a slave that fits needs no explanation") {
  SlaveCollection slaves;
  CHECK_THROWS_WITH_AS(static_cast<void>(slaves.get_slave({.deadline = no_wait, .explain = true})),
                       doctest::Contains("get_slave: no slave: there is no slave"), Timeout);
  const FakeSlave a("a");
  slaves.add_slave(a.slave);
  CHECK(slaves.get_slave({.deadline = no_wait, .explain = true}) == a.slave);
  CHECK(slaves.reserve({.deadline = no_wait, .explain = true}));
}

TEST_CASE("an empty collection says whether a listener fills it, and whether there ever was a slave") {
  SlaveCollection slaves;
  CHECK(why(slaves) ==
        "no slave: there is no slave: none has ever come, and there is no listener for this collection. Make one with "
        ".slave_collection, and start() it");
  {
    const FakeSlave a("a");
    slaves.add_slave(a.slave);
    slaves.remove_slave(*a.slave);
  }
  CHECK(why(slaves).find("all that had come have left, and there is no listener") != std::string::npos);
  const TransportSlaveListener listener({.slave_collection = slaves, .keyless = true});
  CHECK(why(slaves).find("all that had come have left. Check that the listener was started (start())") !=
        std::string::npos);
}

TEST_CASE("the filter's part and the time are told") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  const FakeSlave b("b");
  slaves.add_slave(a.slave);
  CHECK(why(slaves, name_starts_with("x")) == "no slave: the collection has 1 slave, and the filter excludes it");
  slaves.add_slave(b.slave);
  bool is_time_told = false;
  for (const auto& [patience, words] :
       {std::pair(20ms, "no slave within 0"), std::pair(2999ms, "no slave within 2.")}) {
    const std::string late = why(slaves, name_starts_with("x"), patience);
    CHECK(late.ends_with("the collection has 2 slaves, and the filter excludes all of them"));
    is_time_told = late.starts_with(words);
    if (is_time_told) break;  // else the time was over before it began
  }
  CHECK(is_time_told);
}

TEST_CASE("slaves that are reserved are named with those for whom they are, the first few of them") {
  SlaveCollection slaves;
  std::vector<FakeSlave> fakes;
  std::vector<Lease> leases;
  for (int i = 1; i <= 7; ++i) slaves.add_slave(fakes.emplace_back("w" + std::to_string(i)).slave);
  slaves.add_slave(fakes.emplace_back("other").slave);
  for (int i = 1; i <= 7; ++i) {
    leases.push_back(slaves.reserve({.filter = name_starts_with("w" + std::to_string(i)),
                                     .owner = i == 2 ? "" : "build 1" + std::to_string(i),
                                     .deadline = no_wait}));
  }
  CHECK(why(slaves, name_starts_with("w1")) ==
        "no slave: the collection has 8 slaves, of which the filter excludes 7; 1 would do but is reserved: 'w1' for "
        "'build 11'");
  CHECK(why(slaves, name_starts_with("w")) ==
        "no slave: the collection has 8 slaves, of which the filter excludes 1; 7 would do but are reserved: 'w1' for "
        "'build 11', 'w2', 'w3' for 'build 13', 'w4' for 'build 14', 'w5' for 'build 15' and 2 more");
}

TEST_CASE("slaves that are paused are named with the reasons, even if they are reserved too") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  const FakeSlave b("b");
  slaves.add_slave(a.slave);
  slaves.add_slave(b.slave);
  slaves.pause("a", "its disk is full\n");
  CHECK(why(slaves, name_starts_with("a")) ==
        "no slave: the collection has 2 slaves, of which the filter excludes 1; 1 would do but is paused: 'a' (its "
        "disk is full\\x0A)");
  const Lease lease = slaves.reserve({.owner = "build 17", .deadline = no_wait});
  CHECK(why(slaves) ==
        "no slave: the collection has 2 slaves; 1 is reserved: 'b' for 'build 17'; 1 is paused: 'a' (its disk is "
        "full\\x0A)");
  slaves.pause("b", "it is old");
  CHECK(why(slaves, name_starts_with("b")).ends_with("1 would do but is paused: 'b' (it is old)"));
}

TEST_CASE("a slave that is being released, or was lost just now, is told as such") {
  SlaveCollection slaves;
  FakeSlave a("a");
  FakeSlave b("b");
  a.backend->on<operations::Execute>([](const auto&, const auto&, const auto&) {
    return Failure{Errc::timeout, "the deadline passed", 0};
  });
  a.backend->go_on();
  slaves.add_slave(a.slave);
  Lease lease = slaves.reserve({.owner = "build 17", .deadline = no_wait});
  CHECK_THROWS_AS(static_cast<void>(lease->execute({"make"}, {.deadline = 1ms})), Timeout);
  lease.release();
  CHECK(
      why(slaves) ==
      "no slave: the collection has 1 slave; 1 is reserved: 'a' for 'build 17' (released, but an operation still runs "
      "on it)");
  slaves.add_slave(b.slave);
  b.backend->lose({}, [&] { CHECK(why(slaves).ends_with("; 1 lost the connection just now")); });
  a.backend->answer();
}

TEST_CASE("words of others cannot disturb the message, and a stop ends the explanation") {
  SlaveCollection slaves;
  const FakeSlave a("a");
  slaves.add_slave(a.slave);
  const Lease lease = slaves.reserve({.owner = "b\nc", .deadline = no_wait});
  CHECK(why(slaves).ends_with("'a' for 'b\\x0Ac'"));
  std::stop_source stop;
  const SlaveFilter stops = [&](const Slave&) { return stop.request_stop(); };
  const FakeSlave b("b");
  slaves.add_slave(b.slave);
  const ReserveOptions options{.filter = stops, .deadline = no_wait, .stop = stop.get_token(), .explain = true};
  const Lease other = slaves.reserve({.deadline = no_wait});
  CHECK_THROWS_AS(static_cast<void>(slaves.reserve(options)), Cancelled);
}
