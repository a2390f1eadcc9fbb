// How a LocalSlaveListener and a SlaveLauncher start a slave: its options, and the start that no thread waits for.
#include "support/has.hpp"
#include "support/slaves.hpp"

#include <remsh/auth/key_ring.hpp>
#include <remsh/base/completion_queue.hpp>
#include <remsh/master/slave_launcher.hpp>

#include <functional>
#include <latch>
#include <stop_token>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

/// Starts slaves in one of the two ways; no command: remsh-slave itself.
class Starter {
 public:
  Starter(bool launches, std::vector<std::string> command = {}, SlaveFactory slave_class = {}) {
    if (!launches) {
      LocalListenerOptions options{.slave_collection = slaves, .slave_class = std::move(slave_class)};
      options.command = std::move(command);
      options.env = {{"COLOUR", "grey"}, {"SHAPE", "round"}};
      options.handshake_timeout = ample;
      options.kill_after = 100ms;
      local_ = std::make_unique<LocalSlaveListener>(std::move(options));
      return;
    }
    TcpListenerOptions options{.slave_collection = slaves, .address = "tcp:127.0.0.1:0", .keys = KeyRing()};
    options.slave_class = std::move(slave_class);
    listener_ = std::make_unique<TcpSlaveListener>(std::move(options));
    listener_->start();
    launcher_ = std::make_unique<SlaveLauncher>(LauncherOptions{.listener = *listener_,
                                                                .command = std::move(command),
                                                                .env = {{"COLOUR", "grey"}, {"SHAPE", "round"}},
                                                                .kill_after = 100ms});
  }

  std::shared_ptr<Slave> start(const StartOptions& options) {
    return local_ ? local_->start_slave(dir / options.name, options)
                  : launcher_->start_slave(dir / options.name, options);
  }
  Pending<std::shared_ptr<Slave>> launch(StartOptions options) {
    const std::string basedir = dir / options.name;
    return local_ ? local_->launch_slave(basedir, std::move(options))
                  : launcher_->launch_slave(basedir, std::move(options));
  }

  /// Ends the listener or the launcher.
  void end() {
    launcher_.reset();
    local_.reset();
  }

  const TempDir dir;
  SlaveCollection slaves;

 private:
  std::unique_ptr<LocalSlaveListener> local_;
  std::unique_ptr<SlaveListener> listener_;
  std::unique_ptr<SlaveLauncher> launcher_;
};

std::vector<std::string> never_a_slave(const Lifeline& lifeline) {
  return {"sh", "-c", "exec 9>\"$0\"; echo >&9; echo lost in thought >&2; sleep 100000", lifeline.path()};
}

/// A slave whose setup() waits.
class Slow final : public Slave {
 public:
  Slow(SlaveInit init, std::latch& go) : Slave(std::move(init)), go_(go) {}
  void setup() override { go_.wait(); }

 private:
  std::latch& go_;
};

}  // namespace

TEST_CASE("a started slave has the labels and the environment that it was started with") {
  for (const bool launches : {false, true}) {
    CAPTURE(launches);
    Starter starter(launches);
    const auto plain = starter.start({.name = "plain"});
    const auto special = starter.start({.name = "special",
                                        .labels = {{"os", "linux"}, {"gpu", "2"}},
                                        .env = {{"COLOUR", "red"}, {"SHAPE", std::nullopt}, {"SIZE", "9"}}});
    CHECK(plain->info().labels.empty());
    CHECK(special->info().labels == std::map<std::string, std::string>{{"gpu", "2"}, {"os", "linux"}});
    CHECK(starter.slaves.get_slave(no_wait, label("gpu", "2")) == special);
    CHECK(starter.slaves.get_slave(no_wait, label("gpu", "1")) == nullptr);
    auto env = plain->getenv();
    CHECK(env["COLOUR"] == "grey");
    CHECK(env["SHAPE"] == "round");
    env = special->getenv();
    CHECK(env["COLOUR"] == "red");
    CHECK_FALSE(env.contains("SHAPE"));
    CHECK(env["SIZE"] == "9");
  }
}

TEST_CASE("a started slave announces the slots and the resources that it was started with") {
  for (const bool launches : {false, true}) {
    CAPTURE(launches);
    Starter starter(launches);
    const auto plain = starter.start({.name = "plain"});
    CHECK(plain->info().slots == 1);
    CHECK(plain->info().resources.empty());
    const auto special = starter.start({.name = "special", .slots = 3, .resources = {{"gpu", 2}, {"port", 1}}});
    CHECK(special->info().slots == 3);
    CHECK(special->info().resources == std::map<std::string, std::uint64_t>{{"gpu", 2}, {"port", 1}});
    const Lease first = starter.slaves.reserve({.deadline = no_wait, .slots = 1, .resources = {{"gpu", 1}}});
    const Lease second = starter.slaves.reserve({.deadline = no_wait, .slots = 2, .resources = {{"gpu", 1}}});
    CHECK(first.slave() == special);
    CHECK(second.slave() == special);
  }
}

TEST_CASE("the name of a slave is given as an option, by itself, or not at all") {
  const TempDir dir;
  SlaveCollection slaves;
  LocalSlaveListener local({.slave_collection = slaves});
  const std::string name = "by-itself";
  CHECK(local.start_slave(dir / "a", {.name = "as-option"})->name() == "as-option");
  CHECK(local.start_slave(dir / "b", name)->name() == name);
  CHECK(local.start_slave(dir / "c", "literal")->name() == "literal");
  CHECK(local.start_slave(dir / "d", {"braced"})->name() == "braced");
  CHECK(local.start_slave(dir / "e", {})->name() == "local-1");
  CHECK(local.start_slave(dir / "f")->name() == "local-2");
}

TEST_CASE("options that no slave can be started with are refused at once, and say why") {
  for (const bool launches : {false, true}) {
    CAPTURE(launches);
    Starter starter(launches);
    for (const auto& example : std::vector<std::pair<StartOptions, std::string>>{
             {{.name = "a b"}, "a name is 1 to 64 of"},
             {{.name = "w1", .labels = {{"a b", "c"}}}, "the name of a label is"},
             {{.name = "w1", .labels = {{"a", "b c"}}}, "the value of a label is"},
             {{.name = "w1", .slots = 0}, "a slave has 1 to 1,000,000,000 slots"},
             {{.name = "w1", .resources = {{"a b", 1}}}, "the name of the resource 'a b' is"},
             {{.name = "w1", .env = {{"A=B", "c"}}}, "'A=B' cannot be the name of a variable"},
         }) {
      const StartOptions& options = example.first;
      const std::string& words = example.second;
      CAPTURE(words);
      const auto error = thrown_by<Error>([&] { static_cast<void>(starter.launch(options)); });
      REQUIRE(error);
      CHECK(error->code() == Errc::invalid_argument);
      CHECK(error->slave() == options.name);
      CHECK(has(error->message(), words));
    }
  }
}

TEST_CASE("many slaves are started at once, and no thread waits for them") {
  constexpr std::size_t count = 6;
  for (const bool launches : {false, true}) {
    CAPTURE(launches);
    Starter starter(launches);
    CompletionQueue queue;
    std::vector<std::string> names;
    for (std::size_t i = 0; i < count; ++i) {
      starter.launch({.name = "w" + std::to_string(i)}).then(queue, [&](Pending<std::shared_ptr<Slave>> started) {
        names.push_back(started.wait()->name());
      });
    }
    CHECK(queue.size() == count);
    queue.run();
    CHECK(names.size() == count);
    CHECK(starter.slaves.size() == count);
  }
}

TEST_CASE("a start that is cancelled, stopped, late or not wanted any more ends the program") {
  using Launched = Pending<std::shared_ptr<Slave>>;
  for (const bool launches : {false, true}) {
    CAPTURE(launches);
    const Lifeline lifeline;
    Starter starter(launches, never_a_slave(lifeline));
    {
      Launched started = starter.launch({.name = "w1"});
      REQUIRE(lifeline.wait_for_begin());
      CHECK_FALSE(started.poll([] {}));
      started.cancel();
      CHECK(started.is_done());
      CHECK_THROWS_AS(started.wait(), Cancelled);
      CHECK(lifeline.wait_for_end());
    }
    {
      const auto started = std::make_unique<Launched>(starter.launch({.name = "w2"}));
      REQUIRE(lifeline.wait_for_begin());
    }
    CHECK(lifeline.wait_for_end());
    {
      std::stop_source stop;
      Launched started = starter.launch({.name = "w3", .stop = stop.get_token()});
      REQUIRE(lifeline.wait_for_begin());
      stop.request_stop();
      const auto stopped = thrown_by<Cancelled>([&] { started.wait(); });
      REQUIRE(stopped);
      CHECK(stopped->slave() == "w3");
      CHECK(has(stopped->message(), "stopped before it came"));
      CHECK(lifeline.wait_for_end());
    }
    const auto late = thrown_by<Timeout>([&] { starter.start({.name = "w4", .deadline = 300ms}); });
    REQUIRE(late);
    CHECK(late->slave() == "w4");
    CHECK(has(late->message(), "in time"));
    CHECK(starter.slaves.size() == 0);
  }
}

TEST_CASE("the deadline counts for setup() too, which may go on") {
  for (const bool launches : {false, true}) {
    CAPTURE(launches);
    std::latch go(1);
    Starter starter(launches, {}, [&go](SlaveInit init) { return std::make_shared<Slow>(std::move(init), go); });
    const auto late = thrown_by<Timeout>([&] { starter.start({.name = "w1", .deadline = 300ms}); });
    CHECK(late);
    CHECK(starter.slaves.size() == 0);
    go.count_down();
    starter.end();
    CHECK(eventually([&] { return starter.slaves.size() == 0; }));  // setup() may end before the connection has
  }
}

TEST_CASE("who starts slaves may go while they are starting, and the outcome may stay for longer") {
  for (const bool launches : {false, true}) {
    CAPTURE(launches);
    const Lifeline lifeline;
    Starter starter(launches, never_a_slave(lifeline));
    auto started = starter.launch({.name = "w1"});
    REQUIRE(lifeline.wait_for_begin());
    starter.end();
    CHECK(lifeline.wait_for_end());
    CHECK(started.poll([] {}));
    CHECK_THROWS_AS(started.wait(), ConnectionLost);
  }
}

}  // namespace remsh::test
