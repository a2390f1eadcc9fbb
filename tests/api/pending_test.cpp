// Operations that are started and not waited for: nobody's thread is held, and nothing else is different.
#include "support/slaves.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>

namespace remsh::test {

using namespace std::chrono_literals;

TEST_CASE("a ping takes until its answer came, not until somebody looked") {
  on_every_transport(BeyondRemsh1::several_calls, [](Farm&, Slave& slave) {
    auto best = std::chrono::nanoseconds::max();  // a busy machine may hold up some of the answers
    for (int round = 0; round < 5 && best >= 450ms; ++round) {
      auto late = slave.start_ping();
      REQUIRE(slave.execute({"sleep", "0.5"}).ok());
      best = std::min(best, late.wait());
    }
    CHECK(best < 450ms);
  });
}

TEST_CASE("what is started is under way, and its outcome is what the blocking form gives") {
  on_every_transport([](Farm&, Slave& slave) {
    auto sent = slave.start_send(Source::bytes("content"), "file");
    CHECK(sent.wait().bytes == 7);
    auto info = slave.start_stat("file");
    auto missing = slave.start_stat("missing");
    auto cwd = slave.start_set_cwd();
    REQUIRE(info.wait());
    CHECK_FALSE(missing.wait());
    CHECK(cwd.wait() == slave.set_cwd());
    slave.start_mkdir("dir").wait();
    slave.start_copy("file", "copy").wait();
    slave.start_rename("copy", "dir/renamed").wait();
    Bytes fetched;
    CHECK(slave.start_fetch("dir/renamed", Sink::bytes(fetched)).wait().bytes == 7);
    CHECK(fetched == "content");
    slave.start_remove("dir").wait();
    CHECK_FALSE(slave.stat("dir"));
    CHECK(slave.start_getenv().wait().contains("PATH"));
    CHECK(slave.start_ping().wait() > 0ns);
    const auto done = slave.start_execute({"sh", "-c", "echo out; echo err >&2; exit 3"}).wait();
    CHECK(done.exit_code == 3);
    CHECK(done.out == "out\n");
    CHECK(done.err == "err\n");
  });
}

TEST_CASE("operations with verbs and files of their own are started as well") {
  on_every_transport(BeyondRemsh1::own_operations, [](Farm&, Slave& slave) {
    CHECK(slave.start_read_info().wait() == slave.read_info());
    CHECK_THROWS_AS(slave.start_call("unknown").wait(), RemoteError);
  });
}

TEST_CASE("bad arguments are refused at the start, and what goes wrong comes out of the wait") {
  on_every_transport([](Farm&, Slave& slave) {
    const auto refused = thrown_by<Error>([&] { static_cast<void>(slave.start_stat("")); });
    REQUIRE(refused);
    CHECK(refused->code() == Errc::invalid_argument);
    auto pending = slave.start_rename("missing", "other");
    const auto failed = thrown_by<RemoteError>([&] { pending.wait(); });
    REQUIRE(failed);
    CHECK(failed->operation() == "rename 'missing' to 'other'");
    const auto again = thrown_by<Error>([&] { pending.wait(); });
    REQUIRE(again);
    CHECK(again->code() == Errc::invalid_argument);
    CHECK(slave.is_connected());
  });
}

TEST_CASE("callbacks run in the thread that waits, and what they throw comes out there") {
  on_every_transport([](Farm&, Slave& slave) {
    std::set<std::thread::id> threads;
    auto pending = slave.start_execute({"sh", "-c", "echo one; echo two"},
                                       {.out = [&](BytesView) { threads.insert(std::this_thread::get_id()); }});
    std::thread::id waiter;
    std::thread([&] {
      waiter = std::this_thread::get_id();
      CHECK(pending.wait().ok());
    }).join();
    CHECK(threads == std::set{waiter});
  });
  on_every_transport(BeyondRemsh1::leaving, [](Farm&, Slave& slave) {
    auto throws = slave.start_execute({"echo"}, {.out = [](BytesView) { throw std::runtime_error("mine"); }});
    const auto thrown = thrown_by<std::runtime_error>([&] { throws.wait(); });
    REQUIRE(thrown);
    CHECK(std::string(thrown->what()) == "mine");
    CHECK(slave.is_connected());
  });
}

TEST_CASE("a wait may end before the operation does, which goes on") {
  on_every_transport([](Farm&, Slave& slave) {
    auto pending = slave.start_execute({"sleep", "1000"});
    CHECK_FALSE(pending.wait_until(10ms));
    CHECK_FALSE(pending.is_done());
    CHECK_FALSE(pending.wait_until(no_wait));
    pending.cancel();
    CHECK(pending.is_done());
    const auto cancelled = thrown_by<Cancelled>([&] { pending.wait(); });
    REQUIRE(cancelled);
    CHECK(cancelled->operation() == "execute 'sleep'");
  });
}

TEST_CASE("cancelled or dropped, a command is ended") {
  on_every_transport(BeyondRemsh1::leaving, [](Farm&, Slave& slave) {
    for (const bool drops : {false, true}) {
      Lifeline lifeline;
      {
        auto pending = slave.start_execute(lifeline.endless_command());
        REQUIRE(lifeline.wait_for_begin());
        if (!drops) pending.cancel();
      }
      CHECK(lifeline.wait_for_end());
    }
    CHECK(slave.execute({"true"}).ok());
  });
}

TEST_CASE("deadlines and stops end what was started, whoever waits") {
  on_every_transport(BeyondRemsh1::leaving, [](Farm&, Slave& slave) {
    CompletionQueue queue;
    std::stop_source stop;
    std::vector<std::string> ends;
    const auto note = [&ends](Pending<ExecuteResult> over) {
      try {
        over.wait();
      } catch (const Timeout&) {
        ends.emplace_back("timeout");
      } catch (const Cancelled&) {
        ends.emplace_back("cancelled");
      }
    };
    slave.start_execute({"sleep", "1000"}, {.deadline = 20ms}).then(queue, note);
    queue.run();
    slave.start_execute({"sleep", "1000"}, {.stop = stop.get_token()}).then(queue, note);
    stop.request_stop();
    queue.run();
    CHECK(ends == std::vector<std::string>{"timeout", "cancelled"});
  });
}

TEST_CASE("one thread sees to the ends of many operations, on many slaves") {
  Farm farm(Over::tcp);
  std::vector<std::shared_ptr<Slave>> slaves;
  for (const std::string name : {"ash", "birch", "cedar"}) slaves.push_back(farm.start(name));
  CompletionQueue queue;
  std::map<std::string, Bytes> outputs;
  int over = 0;
  for (const auto& slave : slaves) {
    for (int i = 0; i < 10; ++i) {
      slave
          ->start_execute({"sh", "-c", "echo $0; head -c 300000 /dev/zero | tr '\\0' x", std::to_string(i)},
                          {.out = [&out = outputs[slave->name()]](BytesView bytes) { out += bytes; }})
          .then(queue, [&over](auto done) { over += done.wait().ok() ? 1 : 1000; });
    }
  }
  CHECK(queue.size() == 30);
  queue.run();
  CHECK(over == 30);
  for (const auto& [name, out] : outputs) CHECK(std::count(out.begin(), out.end(), 'x') == 3'000'000);
  CHECK(queue.size() == 0);
}

TEST_CASE("what is started in a batch has the outcomes that it has alone") {
  on_every_transport([](Farm&, Slave& slave) {
    slave.mkdir("one");
    std::vector<Pending<std::optional<FileInfo>>> found;
    std::optional<Pending<ExecuteResult>> command;
    {
      const auto batch = slave.batch();
      for (int i = 0; i < 50; ++i) found.push_back(slave.start_stat(i % 2 == 0 ? "one" : "two"));
      command = slave.start_execute({"echo", "output"});
      CHECK(found.front().wait());  // a wait within it is one as well
      found.front() = slave.start_stat("one");
    }
    CHECK(command->wait().out == "output\n");  // an original slave does nothing else before its output is taken
    for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i].wait().has_value() == (i % 2 == 0));
  });
}

TEST_CASE("a handler may start what comes next") {
  on_every_transport([](Farm&, Slave& slave) {
    CompletionQueue queue;
    std::vector<Bytes> said;
    slave.start_send(Source::bytes("content"), "file").then(queue, [&](auto sent) {
      sent.wait();
      slave.start_execute({"cat", "file"}).then(queue, [&](auto done) { said.push_back(done.wait().out); });
    });
    queue.run();
    CHECK(said == std::vector<Bytes>{"content"});
  });
}

TEST_CASE("the end of a slave ends what was started on it, also what nobody waits for") {
  on_every_transport([](Farm&, Slave& slave) {
    CompletionQueue queue;
    int lost = 0;
    auto waited_for = slave.start_execute({"sleep", "1000"});
    slave.start_execute({"sleep", "1000"}).then(queue, [&](auto done) {
      if (thrown_by<ConnectionLost>([&] { done.wait(); })) ++lost;
    });
    slave.disconnect("enough");
    queue.run();
    CHECK(lost == 1);
    CHECK_THROWS_AS(waited_for.wait(), ConnectionLost);
    CHECK_THROWS_AS(slave.start_ping().wait(), ConnectionLost);
  });
}

TEST_CASE("a pending operation outlives the listener, and keeps nobody from destroying it") {
  Farm farm(Over::tcp);
  auto pending = farm.start()->start_execute({"sleep", "1000"});
  auto done = farm.slaves.get_all_slaves().front()->start_stat(".");
  CHECK(done.wait_until(block));
  farm.listener.reset();
  CHECK(done.wait());
  CHECK_THROWS_AS(pending.wait(), ConnectionLost);
}

TEST_CASE("a pending operation keeps its slave, where nobody else does") {
  Farm farm(Over::tcp);
  auto slave = farm.start();
  farm.slaves.remove_slave(*slave);
  auto pending = slave->start_execute({"echo", "still here"});
  slave.reset();
  CHECK(pending.wait().out == "still here\n");
}

TEST_CASE("a queue that is destroyed cancels what is in it, and calls no handler") {
  on_every_transport(BeyondRemsh1::leaving, [](Farm&, Slave& slave) {
    Lifeline lifeline;
    bool called = false;
    {
      CompletionQueue queue;
      slave.start_execute(lifeline.endless_command()).then(queue, [&](auto /*over*/) { called = true; });
      REQUIRE(lifeline.wait_for_begin());
    }
    CHECK(lifeline.wait_for_end());
    CHECK_FALSE(called);
  });
}

TEST_CASE("many threads drain one queue, and none is in an operation that another is in") {
  Farm farm(Over::memory);
  const auto slave = farm.start();
  CompletionQueue queue;
  std::atomic<int> over{0};
  std::atomic<int> wrong{0};
  for (int i = 0; i < 50; ++i) {
    auto inside = std::make_shared<std::atomic<int>>(0);
    auto bytes = std::make_shared<std::size_t>(0);
    slave
        ->start_execute({"sh", "-c", "head -c 400000 /dev/zero"}, {.out =
                                                                       [inside, bytes, &wrong](BytesView piece) {
                                                                         if (++*inside > 1) ++wrong;
                                                                         *bytes += piece.size();
                                                                         --*inside;
                                                                       }})
        .then(queue, [&, bytes](auto done) {
          if (!done.wait().ok() || *bytes != 400'000) ++wrong;
          ++over;
        });
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { queue.run(); });
  for (auto& thread : threads) thread.join();
  CHECK(over == 50);
  CHECK(wrong == 0);
}

TEST_CASE("a host with a loop of its own is told when there is something to do") {
  std::mutex mutex;  // these outlive the farm, in whose threads on_ready runs
  std::condition_variable changed;
  int told = 0;
  Farm farm(Over::tcp);
  const auto slave = farm.start();
  CompletionQueue queue;
  queue.on_ready([&] {
    const std::lock_guard lock(mutex);
    ++told;
    changed.notify_all();
  });
  int over = 0;
  for (int i = 0; i < 5; ++i) slave->start_execute({"echo"}).then(queue, [&](auto done) { over += done.wait().ok(); });
  while (queue.size() > 0) {
    {
      std::unique_lock lock(mutex);
      REQUIRE(changed.wait_for(lock, ample, [&] { return told > 0; }));
      told = 0;
    }
    queue.poll();
  }
  CHECK(over == 5);
}

TEST_CASE("what a handler throws comes out of the drain, and the others are told all the same") {
  Farm farm(Over::memory);
  const auto slave = farm.start();
  CompletionQueue queue;
  int over = 0;
  for (int i = 0; i < 3; ++i) {
    slave->start_ping().then(queue, [&](auto done) {
      done.wait();
      ++over;
      throw std::runtime_error("handler");
    });
  }
  for (int i = 0; i < 3; ++i) CHECK_THROWS_AS(queue.run(), std::runtime_error);
  queue.run();
  CHECK(over == 3);
  CHECK_FALSE(queue.run_one());
}

}  // namespace remsh::test
