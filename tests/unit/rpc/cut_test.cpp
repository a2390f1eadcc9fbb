// A peer whose connection is cut: nothing ends before its owner has decided.
#include "base/connection_words.hpp"
#include "base/operations_end.hpp"
#include "rpc/call.hpp"
#include "rpc/peer.hpp"
#include "support/peer_pair.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <utility>

using namespace remsh;
using namespace remsh::rpc;
using namespace remsh::test;
using namespace std::chrono_literals;
using CallEvent = rpc::Call::Event;

namespace {

class NotedEnd final : public OperationsEnd {
 public:
  explicit NotedEnd(std::atomic<bool>& noted) : noted_(noted) {}
  void note() noexcept override { noted_ = true; }

 private:
  std::atomic<bool>& noted_;
};

/// A peer whose owner decides nothing when it is cut, with a bare other side.
struct Undecided {
  Undecided() {
    auto [ours, theirs] = socket_pair();
    Peer::Options options;
    options.on_cut = [this](Peer&) { cut_.set_value(loop->is_this_thread()); };
    options.on_end = [this](Peer&) {
      if (++ends == 1) over.set_value();
    };
    other_side = std::make_unique<RawEnd>(std::move(theirs));
    peer = Peer::start(std::move(ours), loop, std::move(options));
  }
  Undecided(const Undecided&) = delete;
  Undecided& operator=(const Undecided&) = delete;
  ~Undecided() {
    end(peer);
    loop->stop();  // on_end may still run there
  }

  /// Returns when the owner was asked.
  void cut() {
    other_side.reset();
    CHECK(cut_.get_future().get());
  }

  const OwnedLoop loop;
  std::promise<void> over;
  std::atomic<int> ends{0};
  std::unique_ptr<RawEnd> other_side;
  std::shared_ptr<Peer> peer;

 private:
  std::promise<bool> cut_;
};

}  // namespace

TEST_CASE("a cut ends no call, and what waits for their end still waits; giving up ends all, once") {
  Undecided it;
  std::atomic<bool> was_noted{false};
  std::atomic<int> wakes{0};
  {
    rpc::Call suspended(it.peer, "work", {}, rpc::Call::Kind::plain, {});
    CHECK_FALSE(suspended.poll(false, [&] { ++wakes; }));
    auto caller = std::async(std::launch::async, [&] { return call(it.peer, "work"); });
    CHECK(it.other_side->read().get("_command") == "work");
    CHECK(it.other_side->read().get("_command") == "work");
    auto noted = std::make_unique<NotedEnd>(was_noted);
    noted->range = {1, it.peer->next_call()};
    it.peer->notify_when_over(std::move(noted));

    it.cut();
    CHECK(it.peer->is_cut());
    CHECK_FALSE(it.peer->ended());
    CHECK(it.peer->closed()->message == closed_without_goodbye);
    CHECK(call(it.peer, "another").failure().message == closed_without_goodbye);
    CHECK_FALSE(suspended.poll(false, [&] { ++wakes; }));
    CHECK(caller.wait_for(0s) == std::future_status::timeout);
    CHECK_FALSE(was_noted);
    CHECK(wakes == 0);
    CHECK(it.ends == 0);

    it.peer->give_up();
    it.over.get_future().wait();
    CHECK_FALSE(it.peer->is_cut());
    CHECK(it.peer->ended()->message == closed_without_goodbye);
    CHECK(caller.get().failure().message == closed_without_goodbye);
    CHECK(was_noted);
    CHECK(wakes == 1);
    CHECK(suspended.poll(false, {}) == CallEvent::failed);
    CHECK(suspended.failure().message == closed_without_goodbye);
  }
  it.peer->give_up();
  it.peer->wait_until_left();
  it.loop->post([] {});
  CHECK(it.ends == 1);
}

TEST_CASE("a caller whose deadline passes while its peer is cut leaves") {
  Undecided it;
  auto caller = std::async(std::launch::async, [&] { return call(it.peer, "work", {}, {.deadline = 300ms}); });
  CHECK(it.other_side->read().get("_command") == "work");
  it.cut();
  CHECK(caller.get().failure().code == Errc::timeout);
  CHECK(it.peer->is_cut());
}

TEST_CASE("a peer that is closed while it is cut is over at once, for the reason of the cut") {
  Undecided it;
  auto caller = std::async(std::launch::async, [&] { return call(it.peer, "work"); });
  CHECK(it.other_side->read().get("_command") == "work");
  it.cut();
  it.peer->close("enough");
  CHECK(caller.get().failure().message == closed_without_goodbye);
  CHECK(it.peer->ended()->message == closed_without_goodbye);
}

TEST_CASE("a peer that says goodbye is not asked: it is over when its connection ends") {
  Undecided it;
  it.peer->close("enough");
  CHECK(it.other_side->read().get("_command") == "goodbye");
  it.other_side.reset();
  it.over.get_future().wait();
  CHECK(it.peer->ended()->message == "enough");
}
