// PeerBatch: the calls of one thread are sent in one write.
#include "rpc/peer_batch.hpp"
#include "rpc/call.hpp"
#include "rpc/call_input.hpp"
#include "support/peer_pair.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace remsh;

namespace peer_batch_test {

using remsh::rpc::PeerBatch;
using CallKind = remsh::rpc::Call::Kind;

/// A pair that counts the writes of the master's side.
struct Counted {
  Counted()
      : pair(
            [this] {
              auto [ours, theirs] = memory_pair();
              return test::TransportPair{std::make_unique<test::CountingTransport>(std::move(ours), counts),
                                         std::move(theirs)};
            }(),
            test::Handlers{{"echo", test::echo}, {"cat", cat}}) {}

  static void cat(const test::Served& served) {
    Bytes all;
    for (auto piece = served->read(); piece && !piece->empty(); piece = served->read()) all += *piece;
    served->answer({{"all", all}});
  }

  std::unique_ptr<rpc::Call> started(const std::string& number, CallKind kind = CallKind::plain) {
    auto call = std::make_unique<rpc::Call>(pair.master, "echo", Box{{"n", number}}, kind, Patience{});
    call->suspend();
    return call;
  }

  test::TransportCounts counts;
  test::PeerPair pair;
};

/// Waits for the answer of a started call.
std::string number_of(rpc::Call& call) {
  REQUIRE(call.next() == rpc::Call::Event::answered);
  return std::string(call.answer().get("n").value_or("none"));
}

TEST_CASE("calls that are made in a batch are sent in one write at its end") {
  Counted counted;
  std::vector<std::unique_ptr<rpc::Call>> calls;
  {
    const PeerBatch batch(counted.pair.master);
    for (int i = 0; i < 16; ++i) calls.push_back(counted.started(std::to_string(i)));
    CHECK(counted.counts.writes == 0);
  }
  CHECK(counted.counts.writes == 1);
  for (std::size_t i = 0; i < calls.size(); ++i) CHECK(number_of(*calls[i]) == std::to_string(i));
  CHECK(counted.counts.writes == 1);
}

TEST_CASE("a thread that waits for a call of its batch sends what is gathered, and goes on gathering") {
  Counted counted;
  const PeerBatch batch(counted.pair.master);
  const auto first = counted.started("1");
  const auto second = counted.started("2");
  CHECK(number_of(*second) == "2");
  CHECK(counted.counts.writes == 1);
  const auto third = counted.started("3");
  CHECK(counted.counts.writes == 1);
  CHECK(number_of(*first) == "1");
  CHECK(number_of(*third) == "3");
  CHECK(counted.counts.writes == 2);
}

TEST_CASE("a thread that waits for a waker, or for room for input, sends what is gathered") {
  Counted counted;
  const PeerBatch batch(counted.pair.master);
  const auto polled = counted.started("1");
  std::promise<void> woken;
  if (!polled->poll(false, [&woken] { woken.set_value(); })) woken.get_future().wait();
  CHECK(polled->poll(false, {}) == rpc::Call::Event::answered);
  std::atomic<std::uint64_t> id = 0;
  rpc::Call cat(counted.pair.master, "cat", Box{}, CallKind::streaming, Patience{}, &id);
  cat.suspend();
  rpc::CallInput input(counted.pair.master, id);
  CHECK(input.write("input", {}).value());
  input.end();
  REQUIRE(cat.next() == rpc::Call::Event::answered);
  CHECK(cat.answer() == Box{{"all", "input"}});
}

TEST_CASE("another thread's call sends what is gathered as well, in the order in which it was made") {
  Counted counted;
  const PeerBatch batch(counted.pair.master);
  const auto first = counted.started("1");
  std::thread([&] { CHECK(test::call(counted.pair.master, "echo")); }).join();
  CHECK(counted.counts.writes == 1);
  CHECK(number_of(*first) == "1");
}

TEST_CASE("a batch is of one peer: calls on others are sent at once") {
  Counted one;
  Counted other;
  const PeerBatch batch(one.pair.master);
  const PeerBatch inner(one.pair.master);  // ends first, and changes nothing for the outer one but what is gathered
  const auto call = other.started("1");
  CHECK(other.counts.writes == 1);
  CHECK(number_of(*call) == "1");
  CHECK(PeerBatch::is_open_here(*one.pair.master));
  CHECK_FALSE(PeerBatch::is_open_here(*other.pair.master));
  bool is_open_there = true;
  std::thread([&] { is_open_there = PeerBatch::is_open_here(*one.pair.master); }).join();
  CHECK_FALSE(is_open_there);
}

TEST_CASE("batches of one thread may end in any order") {
  Counted one;
  Counted other;
  std::optional<PeerBatch> first(std::in_place, one.pair.master);
  std::optional<PeerBatch> second(std::in_place, other.pair.master);
  const auto call = one.started("1");
  first.reset();
  CHECK(one.counts.writes == 1);
  CHECK(PeerBatch::is_open_here(*other.pair.master));
  second.reset();
  CHECK_FALSE(PeerBatch::is_open_here(*other.pair.master));
  CHECK(number_of(*call) == "1");
}

TEST_CASE("a call that is dropped before its batch ends is never sent, and one that has input has all of it") {
  Counted counted;
  std::unique_ptr<rpc::Call> cat;
  {
    const PeerBatch batch(counted.pair.master);
    counted.started("1");
    cat = std::make_unique<rpc::Call>(counted.pair.master, "cat", Box{}, CallKind::streaming, Patience{});
    cat->suspend();
  }
  CHECK(counted.counts.writes == 1);
  REQUIRE(cat->next(true) == rpc::Call::Event::room);
  Block block;
  block.payload()[0] = 'x';
  cat->send(std::move(block), 1);
  cat->end_input();
  REQUIRE(cat->next() == rpc::Call::Event::answered);
  CHECK(cat->answer() == Box{{"all", "x"}});
  CHECK(counted.pair.master->next_call() == 3);
}

TEST_CASE("a batch on a peer that has ended sends nothing, and its calls fail") {
  Counted counted;
  std::unique_ptr<rpc::Call> call;
  {
    const PeerBatch batch(counted.pair.master);
    call = counted.started("1");
    counted.pair.master->close("enough");
  }
  CHECK(call->next() == rpc::Call::Event::failed);
  CHECK(call->failure().code == Errc::connection_lost);
}

}  // namespace peer_batch_test
