// Call without a waiting thread: suspended, it is read for by the io thread; polled, it says what is to be done.
#include "rpc/call.hpp"

#include "support/memory_in_use.hpp"
#include "support/peer_pair.hpp"
#include "support/system_calls.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace remsh;
using namespace remsh::test;
using namespace std::chrono_literals;
using rpc::StreamName;
using CallEvent = rpc::Call::Event;
using CallKind = rpc::Call::Kind;

namespace {

#ifdef REMSH_CAN_COUNT
thread_local int allocations_left = -1;  // of this thread, before one fails; -1: none does
thread_local long allocations = 0;       // of this thread

void* allocate(std::size_t size) {
  ++allocations;
  if (allocations_left == 0) throw std::bad_alloc();
  if (allocations_left > 0) --allocations_left;
  if (void* const memory = std::malloc(size > 0 ? size : 1)) return memory;
  throw std::bad_alloc();
}
#endif

}  // namespace

// For all of this program: so that a test can count what a call allocates, and have memory run out.
#ifdef REMSH_CAN_COUNT  // sanitizers have their own
void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
#endif

namespace {

/// Gives back its input.
void cat(const Served& served) {
  for (;;) {
    const auto piece = served->read();
    if (!piece) return;
    if (piece->empty()) break;
    if (!served->write(StreamName::out, block_of(*piece), piece->size())) return;
  }
  served->answer({});
}

/// One who is woken once, and waited for.
class Alarm {
 public:
  std::function<void()> waker() {
    return [state = state_] { state->set_value(); };  // throws where it is the second time
  }
  void wait() { state_->get_future().wait(); }
  [[nodiscard]] bool has_rung() { return state_->get_future().wait_for(0s) == std::future_status::ready; }

 private:
  std::shared_ptr<std::promise<void>> state_ = std::make_shared<std::promise<void>>();
};

/// Polls, whenever it is woken, until there is something to do.
CallEvent poll_until_event(rpc::Call& call, bool wants_room = false) {
  for (;;) {
    Alarm alarm;
    if (const auto event = call.poll(wants_room, alarm.waker())) return *event;
    alarm.wait();
  }
}

std::unique_ptr<rpc::Call> suspended(const std::shared_ptr<rpc::Peer>& peer, BytesView command,
                                     const Box& arguments = {}, const Patience& options = {},
                                     CallKind kind = CallKind::plain) {
  auto call = std::make_unique<rpc::Call>(peer, command, arguments, kind, options);
  call->suspend();
  return call;
}

/// Asks for the end of calls with these ids; gives what is ready when it has been noted.
std::future<void> end_of_calls(rpc::Peer& peer, std::uint64_t first, std::uint64_t end) {
  class Noted final : public OperationsEnd {
   public:
    void note() noexcept override { promise.set_value(); }
    std::promise<void> promise;
  };
  auto noted = std::make_unique<Noted>();
  noted->range = {first, end};
  auto future = noted->promise.get_future();
  peer.notify_when_over(std::move(noted));
  return future;
}

bool has_come(const std::future<void>& future) { return future.wait_for(0s) == std::future_status::ready; }

}  // namespace

TEST_CASE("suspended calls are answered without a thread that waits, and wake who polls them") {
  over_each_transport([](const auto& transports) {
    PeerPair pair(transports(), Handlers{{"echo", echo}});
    std::vector<std::unique_ptr<rpc::Call>> calls;
    for (int i = 0; i < 100; ++i) calls.push_back(suspended(pair.master, "echo", {{"i", std::to_string(i)}}));
    for (int i = 0; i < 100; ++i) {
      rpc::Call& call = *calls[static_cast<std::size_t>(i)];
      REQUIRE(poll_until_event(call) == CallEvent::answered);
      CHECK(call.answer().get("i") == std::to_string(i));
    }
  });
}

TEST_CASE("calls with large arguments wait for a slow other side, those without patience until their deadline") {
  auto [theirs, ours] = socket_pair();
  RawEnd slow(std::move(theirs));
  const OwnedLoop loop;
  const auto peer = rpc::Peer::start(std::move(ours), loop, {});
  const Box large{{"a", Bytes(2'000'000, 'x')}};
  std::vector<std::unique_ptr<rpc::Call>> calls;
  for (int i = 0; i < 8; ++i) calls.push_back(suspended(peer, "own", large));
  CHECK(call(peer, "impatient", large, {.deadline = 10ms}).failure().code == Errc::timeout);
  std::thread waiting([&peer, &large] { CHECK(call(peer, "patient", large).ok()); });

  std::vector<std::string> commands;
  for (int i = 0; i < 9; ++i) {
    const Box asked = slow.read();
    commands.emplace_back(asked.get("_command").value_or("none"));
    slow.write(Box{{"_answer", Bytes(asked.get("_ask").value_or(""))}});
  }
  waiting.join();
  for (const auto& one : calls) CHECK(poll_until_event(*one) == CallEvent::answered);
  CHECK(std::count(commands.begin(), commands.end(), "own") == 8);
  CHECK(std::count(commands.begin(), commands.end(), "patient") == 1);
  calls.clear();
  end(peer);
}

TEST_CASE("a streaming call that waits to be sent gets room for its input when it is") {
  PeerPair pair(memory_pair(1000), Handlers{{"cat", cat}, {"own", [](const Served& served) { served->answer({}); }}});
  const Box large{{"a", Bytes(900'000, 'x')}};
  std::vector<std::unique_ptr<rpc::Call>> calls;
  for (int i = 0; i < 8; ++i) calls.push_back(suspended(pair.master, "own", large));
  rpc::Call cats(pair.master, "cat", {}, CallKind::streaming, {});
  Bytes back;
  bool was_sent = false;
  for (;;) {
    const CallEvent event = cats.next(!was_sent);
    if (event == CallEvent::chunk) back += cats.chunk().bytes();
    if (event == CallEvent::answered || event == CallEvent::failed) break;
    if (event != CallEvent::room) continue;
    cats.send(block_of("miau"), 4);
    cats.end_input();
    was_sent = true;
  }
  CHECK(back == "miau");
  for (const auto& one : calls) CHECK(poll_until_event(*one) == CallEvent::answered);
}

TEST_CASE("streams of a polled call flow both ways, whole and in order") {
  over_each_transport([](const auto& transports) {
    PeerPair pair(transports(), Handlers{{"cat", cat}});
    Bytes input;
    while (input.size() < 1'500'000) input += std::to_string(input.size()) + ' ';
    BytesView rest = input;
    Bytes output;
    const auto call = suspended(pair.master, "cat", {}, {}, CallKind::streaming);
    bool feeds = true;
    for (;;) {
      const CallEvent event = poll_until_event(*call, feeds);
      if (event == CallEvent::chunk) {
        output += call->chunk().bytes();
      } else if (event == CallEvent::room) {
        const BytesView piece = rest.substr(0, call->room());
        rest.remove_prefix(piece.size());
        if (piece.empty()) {
          feeds = false;
          call->end_input();
        } else {
          call->send(block_of(piece), piece.size());
        }
      } else {
        REQUIRE(event == CallEvent::answered);
        break;
      }
    }
    CHECK((output == input));
  });
}

TEST_CASE("a polled call can be waited for, and a call that was waited for be polled") {
  over_each_transport([](const auto& transports) {
    Hanging hanging;
    PeerPair pair(transports(), Handlers{{"echo", echo}, {"hang", [&](const Served& served) { hanging(served); }}});
    rpc::Call call(pair.master, "hang", {}, CallKind::streaming, {});
    CHECK_FALSE(call.next_until(false, std::chrono::steady_clock::now() + 3ms));
    Alarm first;
    CHECK_FALSE(call.poll(false, first.waker()));
    CHECK_FALSE(call.next_until(false, std::chrono::steady_clock::now() + 15ms));
    Alarm second;
    CHECK_FALSE(call.poll(false, second.waker()));
    pair.master->close("enough");
    second.wait();
    CHECK_FALSE(first.has_rung());  // it was replaced
    CHECK(call.poll(false, {}) == CallEvent::failed);
    CHECK(call.failure().message == "enough");
  });
}

TEST_CASE("the deadline of a suspended call wakes who polls it") {
  over_each_transport([](const auto& transports) {
    Hanging hanging;
    PeerPair pair(transports(), Handlers{{"hang", [&](const Served& served) { hanging(served); }}});
    const TimePoint deadline = std::chrono::steady_clock::now() + 20ms;
    auto call = suspended(pair.master, "hang", {}, {.deadline = deadline}, CallKind::streaming);
    REQUIRE(poll_until_event(*call) == CallEvent::failed);
    CHECK(std::chrono::steady_clock::now() >= deadline);
    CHECK(call->failure().code == Errc::timeout);
    call.reset();
    hanging.wait_for(0);
  });
}

TEST_CASE("a stop wakes who polls, in the thread that stops") {
  over_each_transport([](const auto& transports) {
    Hanging hanging;
    PeerPair pair(transports(), Handlers{{"hang", [&](const Served& served) { hanging(served); }}});
    std::stop_source stop;
    auto call = suspended(pair.master, "hang", {}, {.stop = stop.get_token()}, CallKind::streaming);
    hanging.wait_for(1);
    std::thread::id woken;
    CHECK_FALSE(call->poll(false, [&] { woken = std::this_thread::get_id(); }));
    stop.request_stop();
    CHECK(woken == std::this_thread::get_id());
    CHECK(call->poll(false, {}) == CallEvent::failed);
    CHECK(call->failure().code == Errc::cancelled);
    call.reset();
    hanging.wait_for(0);
  });
}

TEST_CASE("a suspended call that is dropped is cancelled, and wakes nobody any more") {
  over_each_transport([](const auto& transports) {
    Hanging hanging;
    PeerPair pair(transports(), Handlers{{"echo", echo}, {"hang", [&](const Served& served) { hanging(served); }}});
    Alarm alarm;
    auto call = suspended(pair.master, "hang", {}, {.deadline = Deadline(1h)}, CallKind::streaming);
    CHECK_FALSE(call->poll(false, alarm.waker()));
    call.reset();
    hanging.wait_for(0);
    CHECK(::remsh::test::call(pair.master, "echo").ok());
    CHECK_FALSE(alarm.has_rung());
  });
}

TEST_CASE("the end of calls is noted when the other side has answered those that were left, and no others") {
  over_each_transport([](const auto& transports) {
    std::promise<void> go;
    Hanging hanging;
    PeerPair pair(transports(), Handlers{{"echo", echo},
                                         {"hang", [&](const Served& served) { hanging(served); }},
                                         {"stubborn", [&](const Served& served) {
                                            hanging.entered();
                                            go.get_future().wait();
                                            served->answer({});
                                          }}});
    auto before = suspended(pair.master, "hang", {}, {}, CallKind::streaming);
    const std::uint64_t first = pair.master->next_call();
    CHECK(::remsh::test::call(pair.master, "echo").ok());
    auto left = suspended(pair.master, "stubborn", {}, {}, CallKind::streaming);
    const std::uint64_t last = pair.master->next_call();
    auto after = suspended(pair.master, "hang", {}, {}, CallKind::streaming);
    hanging.wait_for(3);

    const auto over = end_of_calls(*pair.master, first, last);
    left.reset();
    CHECK(::remsh::test::call(pair.master, "echo").ok());
    CHECK_FALSE(has_come(over));
    go.set_value();
    over.wait();
    CHECK(has_come(end_of_calls(*pair.master, first, last)));

    const auto at_end = end_of_calls(*pair.master, last, last + 1);
    CHECK_FALSE(has_come(at_end));
    pair.master->close("enough");
    at_end.wait();
  });
}

TEST_CASE("suspended calls do not keep a peer from being left, and fail afterwards") {
  over_each_transport([](const auto& transports) {
    Hanging hanging;
    std::vector<std::unique_ptr<rpc::Call>> calls;
    {
      PeerPair pair(transports(), Handlers{{"echo", echo}, {"hang", [&](const Served& served) { hanging(served); }}});
      calls.push_back(suspended(pair.master, "hang", {}, {.deadline = Deadline(1h)}, CallKind::streaming));
      calls.push_back(suspended(pair.master, "echo"));
      REQUIRE(poll_until_event(*calls.back()) == CallEvent::answered);
      hanging.wait_for(1);
    }
    CHECK(calls.front()->poll(false, {}) == CallEvent::failed);
    CHECK(calls.front()->failure().code == Errc::connection_lost);
    CHECK(calls.back()->answer() == Box());
  });
}

TEST_CASE("who waits leads for the suspended ones too") {
  over_each_transport([](const auto& transports) {
    Hanging hanging;
    PeerPair pair(transports(), Handlers{{"echo", echo}, {"hang", [&](const Served& served) { hanging(served); }}});
    std::vector<std::unique_ptr<rpc::Call>> calls;
    std::vector<std::unique_ptr<Alarm>> alarms;
    for (int i = 0; i < 20; ++i) {
      calls.push_back(suspended(pair.master, "echo"));
      alarms.push_back(std::make_unique<Alarm>());
      if (calls.back()->poll(false, alarms.back()->waker())) alarms.pop_back();
      REQUIRE(::remsh::test::call(pair.master, "echo").ok());
    }
    for (const auto& alarm : alarms) alarm->wait();
    for (const auto& call : calls) CHECK(call->poll(false, {}) == CallEvent::answered);
  });
}

// --- what others cost a call

TEST_CASE("a call beside one that has been quiet for long, or beside suspended ones, neither yields nor arms") {
  for (const bool has_suspended : {false, true}) {
    CAPTURE(has_suspended);
    const OwnedLoop loop;
    std::mutex mutex;
    std::vector<Served> kept;
    auto [ours, theirs] = socket_pair();
    TransportCounts counts;
    PeerPair pair(loop, {std::make_unique<CountingTransport>(std::move(ours), counts), std::move(theirs)},
                  serving({{"echo", echo}, {"keep", [&](const Served& served) {
                                              const std::lock_guard lock(mutex);
                                              kept.push_back(served);
                                            }}}));
    std::vector<std::unique_ptr<rpc::Call>> calls;
    std::stop_source stop;
    std::thread quiet;
    if (has_suspended) {
      for (int i = 0; i < 100; ++i) calls.push_back(suspended(pair.master, "keep"));
    } else {
      Patience options;
      options.stop = stop.get_token();
      quiet =
          std::thread([&, options] { static_cast<void>(call(pair.master, "keep", {}, options, CallKind::streaming)); });
    }
    const bool was_quiet = succeeds_once([&] {
      REQUIRE(call(pair.master, "echo").ok());
      const long yields = yields_of_this_thread();
      const int arms = counts.arms;
      for (int i = 0; i < 50; ++i) REQUIRE(call(pair.master, "echo").ok());
      // A machine under load lets a slice pass between two calls now and then.
      return yields_of_this_thread() == yields && counts.arms - arms <= 6;
    });
    CHECK(was_quiet);
    stop.request_stop();
    if (quiet.joinable()) quiet.join();
    calls.clear();
    const std::lock_guard lock(mutex);
    kept.clear();
  }
}

TEST_CASE("callers who call at the same time let each other append, so that one writes for several") {
  PeerPair pair(socket_pair(), Handlers{{"echo", echo}});
  std::atomic<long> all_yields = 0;
  for (int round = 0; round < 200 && all_yields == 0; ++round) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 20; ++i) static_cast<void>(call(pair.master, "echo"));
        all_yields += yields_of_this_thread();
      });
    }
    for (auto& thread : threads) thread.join();
  }
  CHECK(all_yields > 0);
}

TEST_CASE("a call knows when its answer came, whenever its caller looks") {
  PeerPair pair(socket_pair(), Handlers{{"echo", echo}});
  const TimePoint before = std::chrono::steady_clock::now();
  rpc::Call made(pair.master, "echo", {}, CallKind::plain, {});
  Alarm alarm;
  auto event = made.poll(false, alarm.waker());
  if (!event) {
    alarm.wait();
    const TimePoint noticed = std::chrono::steady_clock::now();
    event = made.poll(false, [] {});
    CHECK(made.answered_at() <= noticed);
  }
  REQUIRE(event == CallEvent::answered);
  CHECK(made.answered_at() >= before);
}

#ifdef REMSH_CAN_COUNT
TEST_CASE("a call for which there is no memory leaves the peer as it was") {
  PeerPair pair(socket_pair(), Handlers{{"echo", echo}});
  const Box arguments{{"a", Bytes(20'000, 'x')}};
  int failed = 0;
  for (int allowed = 0; allowed < 40; ++allowed) {
    for (const CallKind kind : {CallKind::plain, CallKind::streaming}) {
      std::thread([&] {  // its buffers are not there yet
        try {
          allocations_left = allowed;
          const rpc::Call made(pair.master, "echo", arguments, kind, {});
          allocations_left = -1;
        } catch (const std::bad_alloc&) {
          allocations_left = -1;
          ++failed;
        }
      }).join();
    }
  }
  CHECK(failed > 4);
  CHECK_FALSE(pair.master->ended());
  const auto answer = call(pair.master, "echo", arguments);
  REQUIRE(answer);
  CHECK(*answer == arguments);
  // And the end, in PeerPair's destructor, waits for nobody.
}

#endif

#ifdef REMSH_CAN_COUNT
TEST_CASE("a small call in a series allocates little on either side, and no memory for its way") {
  long served = 1000;  // by the worker, from one call to the next: the least, as another worker may come in
  PeerPair pair(socket_pair(), Handlers{{"stat", [&served](const Served& call) {
                                           thread_local long before = -1000;
                                           served = std::min(served, allocations - before);
                                           before = allocations;
                                           call->answer({{"mode", "755"}, {"size", "4096"}});
                                         }}});
  const Box arguments{{"path", "/tmp"}};
  for (int i = 0; i < 100; ++i) REQUIRE(call(pair.master, "stat", arguments));  // buffers and tables are there then
  const long before = allocations;
  for (int i = 0; i < 100; ++i) REQUIRE(call(pair.master, "stat", arguments));
  const long called = (allocations - before) / 100;
  MESSAGE("allocations of a call: ", called, ", of its service: ", served);
  CHECK(called <= 2);  // the fields of the answer
  CHECK(served <= 5);
}

TEST_CASE("a suspended call keeps no buffer of the thread that waited for it") {
  PeerPair pair(socket_pair(), Handlers{{"keep", [](const Served& served) {
                                           static std::mutex mutex;
                                           static std::vector<Served> kept;
                                           const std::lock_guard lock(mutex);
                                           kept.push_back(served);
                                           if (kept.size() == 20) kept.clear();
                                         }}});
  std::vector<std::unique_ptr<rpc::Call>> calls;
  const std::size_t before = bytes_in_use();
  for (int i = 0; i < 19; ++i) {
    calls.push_back(std::make_unique<rpc::Call>(pair.master, "keep", Box{}, CallKind::plain, Patience{}));
    const auto until = std::chrono::steady_clock::now() + 2ms;  // it leads, so it has a buffer
    CHECK_FALSE(calls.back()->next_until(false, until).has_value());
  }
  // Threads of the loop and of the server, of which a busy machine has a few, keep a buffer each.
  CHECK(bytes_taken_since(before) < 10 * rpc::ReadBuffer::size);
}
#endif
