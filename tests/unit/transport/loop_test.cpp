// Tests of the io thread, of single watched descriptors, and of what its threads do with signals.
#include "transport/loop.hpp"
#include "os/parking.hpp"
#include "os/threads.hpp"
#include "os/unique_fd.hpp"
#include "support/fake_clock.hpp"
#include "transport/descriptor_watch.hpp"
#include "unit/transport/recorder.hpp"
#include "unit/transport/transports.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using remsh::DescriptorWatch;
using remsh::Loop;
using remsh::Ready;
using remsh::UniqueFd;
using remsh::test::descriptor_pair;
using remsh::test::Recorder;
using remsh::test::settle;

namespace {

void put_byte(const UniqueFd& fd) { REQUIRE(::write(fd.get(), "x", 1) == 1); }

remsh::TimePoint from_now(remsh::Duration d) { return std::chrono::steady_clock::now() + d; }

}  // namespace

TEST_CASE("a driven loop runs what is due when it is asked to, and a thread that parks lets the rest happen") {
  remsh::test::FakeClock clock;
  int steps = 0;
  remsh::Parking parking;
  const auto loop = Loop::make_driven(clock, [&] {
    clock.advance(1s);
    if (++steps == 3) parking.unpark();
  });
  std::vector<int> order;
  loop->at(clock.now() + 10s, [&] { order.push_back(3); });
  loop->post([&] {
    order.push_back(1);
    loop->post([&] { order.push_back(2); });
  });
  CHECK(order.empty());
  CHECK(loop->run_due() == clock.now() + 10s);
  CHECK(order == std::vector{1, 2});
  CHECK(loop->park(parking, remsh::TimePoint::max()));
  CHECK(steps == 3);
  CHECK_FALSE(loop->park(parking, clock.now() + 5s));
  CHECK(steps == 8);
  clock.advance(2s);
  CHECK(loop->run_due() == remsh::TimePoint::max());
  CHECK(order == std::vector{1, 2, 3});
}

TEST_CASE("posted functions run on the loop thread in their order") {
  const auto loop = Loop::start();
  std::vector<int> order;
  std::promise<bool> last;
  CHECK_FALSE(loop->is_this_thread());
  for (int i = 0; i < 100; ++i) {
    loop->post([&, i] {
      order.push_back(i);
      if (i == 50) loop->post([&] { last.set_value(loop->is_this_thread()); });
    });
  }
  CHECK(last.get_future().get());
  settle(*loop);
  REQUIRE(order.size() == 100);
  for (int i = 0; i < 100; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
}

TEST_CASE("timers run in the order of their times, and equal ones as they came") {
  const auto loop = Loop::start();
  std::vector<int> order;
  std::promise<void> done;
  std::promise<void> all_are_there;  // before one of them is due, however long this thread stands still
  loop->post([&] { all_are_there.get_future().wait(); });
  const remsh::TimePoint base = from_now(20ms);
  loop->at(base + 2ms, [&] {
    order.push_back(4);
    done.set_value();
  });
  loop->at(base, [&] { order.push_back(2); });
  loop->at(base, [&] { order.push_back(3); });
  loop->at(remsh::TimePoint::min(), [&] { order.push_back(1); });
  all_are_there.set_value();
  done.get_future().get();
  settle(*loop);
  CHECK(order == std::vector<int>{1, 2, 3, 4});
  CHECK(std::chrono::steady_clock::now() >= base + 2ms);
}

TEST_CASE("a cancelled timer never runs, and one that ran cannot be cancelled") {
  const auto loop = Loop::start();
  std::atomic<int> runs{0};
  const auto late = loop->at(from_now(1h), [&] { ++runs; });
  CHECK(loop->cancel(late));
  CHECK_FALSE(loop->cancel(late));
  std::promise<void> done;
  const auto soon = loop->at(from_now(1ms), [&] { done.set_value(); });
  done.get_future().get();
  settle(*loop);
  CHECK_FALSE(loop->cancel(soon));
  CHECK(runs == 0);
}

TEST_CASE("a timer can cancel another one that is due at the same time") {
  const auto loop = Loop::start();
  std::atomic<bool> ran{false};
  std::promise<bool> cancelled;
  const remsh::TimePoint when = from_now(5ms);
  std::atomic<Loop::TimerId> second{0};
  std::promise<void> known;
  loop->at(when, [&] {
    known.get_future().wait();
    cancelled.set_value(loop->cancel(second));
  });
  second = loop->at(when, [&] { ran = true; });
  known.set_value();
  CHECK(cancelled.get_future().get());
  settle(*loop);
  CHECK_FALSE(ran);
}

TEST_CASE("an earlier timer overtakes one that is waited for already") {
  const auto loop = Loop::start();
  loop->at(from_now(1h), [] {});
  settle(*loop);
  std::promise<void> done;
  loop->at(from_now(1ms), [&] { done.set_value(); });
  done.get_future().get();
}

TEST_CASE("timers follow the clock of the loop, which may stand still") {
  remsh::test::FakeClock clock;
  const auto loop = Loop::start(clock);
  std::atomic<int> runs{0};
  std::promise<remsh::TimePoint> late;
  const remsh::TimePoint begin = clock.now();
  loop->at(begin + 1h, [&] { ++runs; });
  loop->at(begin + 2h, [&] { late.set_value(loop->now()); });
  clock.advance(1h - 1ns);
  loop->clock_moved();
  settle(*loop);
  CHECK(runs == 0);
  clock.advance(1ns);
  loop->clock_moved();
  settle(*loop);
  CHECK(runs == 1);
  clock.advance(2h);
  loop->clock_moved();
  CHECK(late.get_future().get() == begin + 3h);
  loop->stop();
}

TEST_CASE("stop drops what has not begun and gives back what it held") {
  const auto loop = Loop::start();
  const auto held = std::make_shared<int>(1);
  loop->at(from_now(1h), [held] {});
  loop->stop();
  loop->post([held] { FAIL("ran after the stop"); });
  loop->at(remsh::TimePoint::min(), [held] { FAIL("ran after the stop"); });
  CHECK(held.use_count() == 1);
  loop->stop();
}

TEST_CASE("an arming gives exactly one event, and a new one the next") {
  const auto loop = Loop::start();
  const auto recorder = std::make_shared<Recorder>();
  const auto slot = loop->add(recorder);
  auto pair = descriptor_pair();
  loop->watcher().watch(pair.first.get(), Ready::read, Loop::token(slot, 7));
  put_byte(pair.second);
  recorder->wait_for(1);
  put_byte(pair.second);
  settle(*loop);
  CHECK(recorder->count() == 1);
  CHECK(recorder->event(0) == std::pair(7U, Ready::read));
  loop->watcher().watch(pair.first.get(), Ready::both, Loop::token(slot, 8));  // level-triggered: ready already
  recorder->wait_for(2);
  settle(*loop);
  CHECK(recorder->count() == 2);
  CHECK(recorder->event(1) == std::pair(8U, Ready::both));
  loop->watcher().forget(pair.first.get());
}

TEST_CASE("an end counts as what was asked for, and as nothing on a silent descriptor") {
  const auto loop = Loop::start();
  const auto recorder = std::make_shared<Recorder>();
  const auto slot = loop->add(recorder);
  auto silent = descriptor_pair();
  loop->watcher().watch(silent.first.get(), Ready::none, Loop::token(slot, 1));
  silent.second.reset();
  auto asked = descriptor_pair();
  loop->watcher().watch(asked.first.get(), Ready::write, Loop::token(slot, 2));
  asked.second.reset();
  recorder->wait_for(1);
  settle(*loop);
  CHECK(recorder->count() == 1);
  CHECK(recorder->event(0) == std::pair(2U, Ready::write));
  loop->watcher().forget(silent.first.get());
  loop->watcher().forget(asked.first.get());
}

TEST_CASE("many descriptors that become ready at once are all told, past one batch") {
  const auto loop = Loop::start();
  const auto recorder = std::make_shared<Recorder>();
  const auto slot = loop->add(recorder);
  std::promise<void> gate;
  loop->post([&] { gate.get_future().wait(); });
  std::vector<std::pair<UniqueFd, UniqueFd>> pairs;
  for (std::uint32_t i = 0; i < 300; ++i) {
    pairs.push_back(descriptor_pair());
    put_byte(pairs.back().second);
    loop->watcher().watch(pairs.back().first.get(), Ready::read, Loop::token(slot, i));
  }
  gate.set_value();
  recorder->wait_for(300);
  std::set<std::uint32_t> numbers;
  for (std::size_t i = 0; i < 300; ++i) numbers.insert(recorder->event(i).first);
  CHECK(numbers.size() == 300);
}

TEST_CASE("events of a removed slot reach nobody, not even the next owner of the slot") {
  const auto loop = Loop::start();
  const auto first = std::make_shared<Recorder>();
  const auto second = std::make_shared<Recorder>();
  const auto old_slot = loop->add(first);
  std::promise<void> gate;
  loop->post([&] { gate.get_future().wait(); });
  loop->watcher().notify(Loop::token(old_slot, 1), Ready::read);
  loop->remove(old_slot);
  const auto new_slot = loop->add(second);
  loop->watcher().notify(Loop::token(old_slot, 1), Ready::read);
  gate.set_value();
  settle(*loop);
  CHECK(first->count() == 0);
  CHECK(second->count() == 0);
  CHECK(new_slot != old_slot);
  CHECK(loop->add(second) == old_slot);  // free again by now
}

TEST_CASE("a Watched that is gone is not told") {
  const auto loop = Loop::start();
  auto recorder = std::make_shared<Recorder>();
  const auto slot = loop->add(recorder);
  recorder.reset();
  loop->watcher().notify(Loop::token(slot, 1), Ready::read);
  settle(*loop);
}

TEST_CASE("what the system cannot watch is told to look for itself") {
  const auto loop = Loop::start();
  const auto recorder = std::make_shared<Recorder>();
  const auto slot = loop->add(recorder);
  const UniqueFd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  REQUIRE(file);
  loop->watcher().watch(file.get(), Ready::read, Loop::token(slot, 3));
  recorder->wait_for(1);
  CHECK(recorder->event(0) == std::pair(3U, Ready::read));
}

TEST_CASE("a watched descriptor calls back once for each arming") {
  const auto loop = Loop::start();
  auto pair = descriptor_pair();
  std::atomic<int> calls{0};
  std::promise<void> third;
  std::optional<DescriptorWatch> watch;
  watch.emplace(*loop, pair.first.get(), [&](Ready directions) {
    CHECK(directions == Ready::read);
    if (++calls < 3) {
      watch->arm(Ready::read);
    } else {
      third.set_value();
    }
  });
  watch->arm(Ready::read);
  put_byte(pair.second);
  third.get_future().get();
  settle(*loop);
  CHECK(calls == 3);
}

TEST_CASE("a watched descriptor can be let go inside its own callback") {
  const auto loop = Loop::start();
  auto pair = descriptor_pair();
  std::promise<void> gone;
  std::unique_ptr<DescriptorWatch> watch;
  watch = std::make_unique<DescriptorWatch>(*loop, pair.first.get(), [&](Ready) {
    watch.reset();
    gone.set_value();
  });
  watch->arm(Ready::read);
  put_byte(pair.second);
  gone.get_future().get();
  CHECK(watch == nullptr);
}

TEST_CASE("letting a watched descriptor go waits for its callback") {
  const auto loop = Loop::start();
  auto pair = descriptor_pair();
  std::promise<void> inside;
  std::promise<void> go_on;
  std::atomic<bool> over{false};
  auto watch = std::make_unique<DescriptorWatch>(*loop, pair.first.get(), [&](Ready) {
    inside.set_value();
    go_on.get_future().wait();
    over = true;
  });
  watch->arm(Ready::read);
  put_byte(pair.second);
  inside.get_future().get();
  const auto helper = std::async(std::launch::async, [&] { go_on.set_value(); });
  watch.reset();
  CHECK(over);
}

TEST_CASE("a disarmed descriptor is silent, also where its event was on the way") {
  const auto loop = Loop::start();
  auto pair = descriptor_pair();
  std::atomic<int> calls{0};
  DescriptorWatch watch(*loop, pair.first.get(), [&](Ready) { ++calls; });
  std::promise<void> gate;
  loop->post([&] { gate.get_future().wait(); });
  watch.arm(Ready::read);
  put_byte(pair.second);
  watch.arm(Ready::none);
  gate.set_value();
  settle(*loop);
  CHECK(calls == 0);
}

TEST_CASE("a thread of ours blocks the signals of the host") {
  sigset_t mask;
  ::sigemptyset(&mask);
  remsh::start_thread("signals-tested", [&] { ::pthread_sigmask(SIG_SETMASK, nullptr, &mask); }).join();
  CHECK(::sigismember(&mask, SIGINT) == 1);
  CHECK(::sigismember(&mask, SIGTERM) == 1);
  CHECK(::sigismember(&mask, SIGPIPE) == 1);
  ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  CHECK(::sigismember(&mask, SIGINT) == 0);
}

TEST_CASE("a SIGPIPE of ours does not reach the host") {
  int fds[2];
  REQUIRE(::pipe2(fds, O_CLOEXEC) == 0);
  const UniqueFd write_end(fds[1]);
  ::close(fds[0]);
  {
    remsh::SigpipeBlocked guard;
    REQUIRE(::write(write_end.get(), "x", 1) == -1);
    REQUIRE(errno == EPIPE);
    guard.consume();
  }
  sigset_t pending;
  ::sigpending(&pending);
  CHECK(::sigismember(&pending, SIGPIPE) == 0);  // and we are alive
}

TEST_CASE("every descriptor of the loop is closed by exec") {
  std::set<int> before;
  for (int fd = 0; fd < 256; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) before.insert(fd);
  }
  const auto loop = Loop::start();
  int found = 0;
  for (int fd = 0; fd < 256; ++fd) {
    const int flags = ::fcntl(fd, F_GETFD);
    if (flags < 0 || before.contains(fd)) continue;
    ++found;
    CHECK((flags & FD_CLOEXEC) != 0);
  }
  CHECK(found >= 2);
}
