// How a connection ended: a value and words, for callbacks, for callers, and at the slave.
#include "support/played_slave.hpp"
#include "support/slaves.hpp"

#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace remsh::test {

namespace {

using namespace std::chrono_literals;

/// What a callback of on_disconnect() was given. Copies are of the same.
class Heard {
 public:
  std::function<void(const Disconnect&)> callback() {
    return [promise = promise_](const Disconnect& how) { promise->set_value(how); };
  }
  Disconnect wait() {
    auto future = promise_->get_future();
    REQUIRE(future.wait_for(ample) == std::future_status::ready);
    return future.get();
  }

 private:
  std::shared_ptr<std::promise<Disconnect>> promise_ = std::make_shared<std::promise<Disconnect>>();
};

/// Everything that a host can see of the end of a slave says this.
void check_end(Slave& slave, Heard heard, DisconnectReason reason, const std::string& words) {
  const Disconnect how = heard.wait();
  CHECK(to_string(how.reason) == to_string(reason));
  CHECK(how.words.find(words) != std::string::npos);
  CHECK(slave.disconnect_reason() == reason);
  CHECK(slave.lost_reason() == how.words);
  Heard late;
  slave.on_disconnect(late.callback());
  CHECK(late.wait().reason == reason);
  if (reason == DisconnectReason::misbehaved) return;
  const auto lost = thrown_by<ConnectionLost>([&] { slave.ping(); });
  REQUIRE(lost);
  CHECK(lost->reason() == reason);
  CHECK(lost->message() == how.words);
}

}  // namespace

TEST_CASE("the end of a connection says who ended it and how") {
  struct Way {
    Over over;
    DisconnectReason reason;
    std::string words;
    std::function<void(Farm&, const std::shared_ptr<Slave>&)> end;
  };
  const std::vector<Way> ways = {
      {Over::tcp, DisconnectReason::closed_here, "enough for today",
       [](Farm&, const std::shared_ptr<Slave>& slave) { slave->disconnect("enough for today"); }},
      {Over::tcp, DisconnectReason::closed_here, "the master shuts down",
       [](Farm& farm, const std::shared_ptr<Slave>&) { farm.listener.reset(); }},
      {Over::tcp, DisconnectReason::closed_there,
       "goodbye: ", [](Farm& farm, const std::shared_ptr<Slave>&) { farm.stop_slaves(); }},
      {Over::local_process, DisconnectReason::killed, "killed by its master",
       [](Farm& farm, const std::shared_ptr<Slave>& slave) { farm.local().kill_slave(slave); }},
      {Over::local_process, DisconnectReason::cut, "was killed or crashed",
       [](Farm&, const std::shared_ptr<Slave>& slave) { ::kill(process_of(*slave), SIGKILL); }},
  };
  for (const Way& way : ways) {
    CAPTURE(to_string(way.reason));
    Farm farm(way.over);
    const auto slave = farm.start();
    REQUIRE(slave);
    CHECK_FALSE(slave->disconnect_reason());
    Heard heard;
    slave->on_disconnect(heard.callback());
    way.end(farm, slave);
    check_end(*slave, heard, way.reason, way.words);
  }
}

TEST_CASE("a slave that is frozen was silent, and the words say for how long and which options allow it") {
  Farm farm(Over::local_process, {.keepalive = 500ms, .keepalive_patience = 1500ms});
  const auto slave = farm.start();
  Heard heard;
  slave->on_disconnect(heard.callback());
  const pid_t process = process_of(*slave);
  REQUIRE(stop_process(process));
  check_end(*slave, heard, DisconnectReason::silent, "0.5 s (keepalive) and 1.5 s more (keepalive_patience)");
  ::kill(process, SIGCONT);
}

TEST_CASE("a callback of the end takes the reason or nothing, in whatever form it is written") {
  struct Host {
    void lost() { ++times; }
    std::atomic<int> times = 0;
  } host;
  Farm farm(Over::tcp);
  const auto slave = farm.start();
  const Event last;
  slave->on_disconnect(std::bind(&Host::lost, &host));
  slave->on_disconnect([&](auto&&...) { ++host.times; });
  slave->on_disconnect(std::function<void()>());
  slave->on_disconnect(nullptr);
  slave->on_disconnect([&](const Disconnect&) {
    ++host.times;
    last.happened();
  });
  slave->disconnect();
  REQUIRE(last.wait());
  CHECK(host.times == 3);
}

TEST_CASE("a slave that breaks the protocol has misbehaved") {
  Farm farm(Over::tcp);
  const auto played = register_by_hand(socket_transport(connect_to_port(farm.port()), "a test"), "worker");
  const auto slave = farm.slaves.get_slave(ample);
  REQUIRE(slave);
  Heard heard;
  slave->on_disconnect(heard.callback());
  played->send_box({{"_answer", "77"}});
  check_end(*slave, heard, DisconnectReason::misbehaved, "an answer to no open call");
}

TEST_CASE("a slave whose setup() fails was refused") {
  class Unwilling : public Slave {
   public:
    using Slave::Slave;
    void setup() override {
      on_disconnect(heard.callback());
      throw std::runtime_error("not today");
    }
    Heard heard;
  };
  Heard heard;
  Farm farm(Over::memory, {.slave_class = [&heard](SlaveInit init) -> std::shared_ptr<Slave> {
              auto slave = std::make_shared<Unwilling>(std::move(init));
              heard = slave->heard;
              return slave;
            }});
  CHECK_THROWS_AS(farm.start(), Error);
  const Disconnect how = heard.wait();
  CHECK(how.reason == DisconnectReason::refused);
  CHECK(how.words == "setup() failed: not today");
}

TEST_CASE("a deadline that passes says how long it was") {
  Farm farm(Over::tcp);
  const auto slave = farm.start();
  std::optional<Timeout> passed;
  for (int round = 0; round < 100 && !passed; ++round) {  // on a busy machine, the answer may be there before a look
    passed = thrown_by<Timeout>([&] { slave->ping({.deadline = no_wait}); });
  }
  REQUIRE(passed);
  CHECK(passed->message() == "the deadline that the caller gave had passed before it began");
  std::string words = passed->message();
  for (int round = 0; round < 10 && words == passed->message(); ++round) {  // a busy machine may begin that late
    const auto late = thrown_by<Timeout>([&] {
      static_cast<void>(slave->execute({"sleep", "100000"}, {.deadline = 50ms}));
    });
    REQUIRE(late);
    words = late->message();
  }
  CHECK(words.starts_with("it was not done within the 0.0"));
  CHECK(words.ends_with(" s of the caller's deadline"));
}

}  // namespace remsh::test
