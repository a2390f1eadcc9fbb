// What a small call costs the slave that serves it in system calls, in its worker and in its io thread.
#include "rpc/peer.hpp"
#include "support/ample.hpp"
#include "support/each_socket.hpp"
#include "support/peer_pair.hpp"
#include "support/played_calls.hpp"
#include "support/skip.hpp"
#include "support/system_calls.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#ifdef REMSH_CAN_COUNT

namespace service_costs_test {

using namespace remsh;
using namespace remsh::test;
using namespace std::chrono_literals;

// The clock stands still, so what the io thread does because of the time is only to look at the time again.
const auto looks_at_the_time = {SystemCall::epoll_wait, SystemCall::timerfd_settime};

/// A slave's peer whose caller is played by the thread of the test. Each call notes what its worker has done so far.
class ServiceAlone {
 public:
  explicit ServiceAlone(TransportPair transports)
      : master_(std::move(transports.first)),
        peer_(rpc::Peer::start(std::move(transports.second), loop_, without_pings(serving(handlers())))) {}
  ServiceAlone(const ServiceAlone&) = delete;
  ServiceAlone& operator=(const ServiceAlone&) = delete;
  ~ServiceAlone() { loop_.end(peer_); }

  /// Opens a call that will get no answer.
  void keep() { master_.write(request(++tag_, "keep")); }

  /// Makes a call and waits for its answer.
  void call() {
    master_.write(request(++tag_, "stat"));
    REQUIRE(master_.read().has("_answer"));
  }

  /// What the worker has done from the one but last call to the last one; nothing if these were two workers.
  [[nodiscard]] SystemCalls between_calls() {
    const std::lock_guard lock(mutex_);
    return last_.thread == previous_.thread ? last_.calls - previous_.calls : SystemCalls();
  }

  /// What a worker has done from the first of some calls to the last one; nothing if there were several workers.
  SystemCalls series(int calls) {
    call();
    const Note first = last_note();
    bool is_one = true;
    for (int i = 1; i < calls; ++i) {
      call();
      is_one = is_one && last_note().thread == first.thread;
    }
    return is_one ? last_note().calls - first.calls : SystemCalls();
  }

  /// What the io thread has done so far.
  SystemCalls of_io() {
    SystemCalls result;
    loop_.on_loop([&] { result = system_calls_of_this_thread(); });
    return result.without(looks_at_the_time);
  }

  /// Returns when the worker has left the connection to the io thread, and no timer but that of the liveness is left.
  void fall_idle() {
    const long parked = system_calls_of_other_threads()[SystemCall::futex] + 1;
    do loop_.advance(20ms);  // more than once, if it has only begun to wait
    while (!has_come(SystemCall::futex, parked, 15ms));
    for (int i = 0; i < 10; ++i) loop_.advance(20ms);
  }

  /// Waits until the other threads have made so many of these; false if they have not in this time.
  static bool has_come(SystemCall kind, long count, Duration within = ample) {
    const auto until = std::chrono::steady_clock::now() + within;
    while (system_calls_of_other_threads()[kind] < count) {
      if (std::chrono::steady_clock::now() >= until) return false;
      std::this_thread::yield();
    }
    return true;
  }

 private:
  struct Note {
    std::thread::id thread;
    SystemCalls calls;
  };

  Handlers handlers() {
    return {{"stat",
             [this](const Served& served) {
               note();
               served->answer({{"size", "4096"}});
             }},
            {"keep", [this](const Served& served) {
               const std::lock_guard lock(mutex_);
               kept_.push_back(served);
             }}};
  }
  void note() {
    const std::lock_guard lock(mutex_);
    previous_ = last_;
    last_ = {std::this_thread::get_id(), system_calls_of_this_thread()};
  }
  Note last_note() {
    const std::lock_guard lock(mutex_);
    return last_;
  }

  StoppedLoop loop_;
  RawEnd master_;
  int tag_ = 0;
  std::mutex mutex_;
  Note previous_;
  Note last_;
  std::vector<Served> kept_;
  std::shared_ptr<rpc::Peer> peer_;
};

TEST_CASE("a small call in a series costs its worker one read and one write, and the io thread nothing") {
  for (const int kept : {0, 20}) {  // beside so many calls that are open and quiet
    CAPTURE(kept);
    over_each_socket([kept](const auto& transports) {
      ServiceAlone one(transports());
      for (int i = 0; i < kept; ++i) one.keep();
      for (int i = 0; i < 3; ++i) one.call();
      std::string of_worker;
      std::string of_io;
      CHECK(succeeds_once([&] {
        const SystemCalls before = one.of_io();
        of_worker = one.series(51).text();
        of_io = (one.of_io() - before).text();
        return of_worker == "recv 50, sendmsg 50" && of_io.empty();
      }));
      CHECK(of_worker == "recv 50, sendmsg 50");
      CHECK(of_io == "");
    });
  }
}

TEST_CASE("a small call to a slave that was idle costs one read, one wake-up and three changes of a watch more") {
  over_each_socket([](const auto& transports) {
    ServiceAlone one(transports());
    for (int i = 0; i < 3; ++i) one.call();
    // The worker takes the watch back, up to the next call. The io thread has armed it, and waits for the next event.
    const std::string wanted_of_worker = "epoll_ctl 1, recv 1, sendmsg 1";
    const std::string wanted_of_io = "epoll_ctl 2, futex 1, recv 1";
    std::string of_worker;
    std::string of_io;
    CHECK(succeeds_once([&] {
      one.fall_idle();
      const SystemCalls before = one.of_io();
      const long reads = system_calls_of_other_threads()[SystemCall::recv];
      one.call();
      REQUIRE(ServiceAlone::has_come(SystemCall::recv, reads + 2));  // the worker reads on
      of_io = (one.of_io() - before).text();
      one.call();
      of_worker = one.between_calls().text();
      return of_worker == wanted_of_worker && of_io == wanted_of_io;
    }));
    CHECK(of_worker == wanted_of_worker);
    CHECK(of_io == wanted_of_io);
  });
}

TEST_CASE("a slave that falls idle parks its worker and arms its watch once") {
  over_each_socket([](const auto& transports) {
    ServiceAlone one(transports());
    for (int i = 0; i < 3; ++i) one.call();
    std::string of_all;
    CHECK(succeeds_once([&] {
      one.call();
      const SystemCalls before = system_calls_of_other_threads();
      one.fall_idle();
      of_all = (system_calls_of_other_threads() - before).without(looks_at_the_time).without({SystemCall::recv}).text();
      return of_all == "epoll_ctl 1, futex 1";
    }));
    CHECK(of_all == "epoll_ctl 1, futex 1");
  });
}

}  // namespace service_costs_test

#else
TEST_CASE("what a small call costs its slave") {
  remsh::test::skip("system calls cannot be counted here: a sanitizer replaces the same functions");
}
#endif
