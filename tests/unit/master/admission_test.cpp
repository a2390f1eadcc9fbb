// Registrations next to user code that never returns.
#include "master/lost_callback.hpp"
#include "master/names.hpp"
#include "master/operation_forms.hpp"
#include "master/runtime.hpp"
#include "support/ample.hpp"
#include "support/fake_clock.hpp"
#include "support/registered_socket.hpp"
#include "support/temp_dir.hpp"
#include "transport/address.hpp"
#include "transport/connect.hpp"

#include <doctest/doctest.h>
#include <remsh/master/slave_collection.hpp>
#include <remsh/master/transport_slave_listener.hpp>
#include <remsh/master/unix_slave_listener.hpp>
#include <remsh/transport/descriptors.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace remsh {
namespace {

using namespace std::chrono_literals;
using remsh::test::ample;

/// A slave that registers by itself and then is mute, and what handle_new_connection() gives for it.
class MuteSlave {
 public:
  MuteSlave(SlaveListener& listener, const std::string& name) {
    std::array<int, 2> pair{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0);
    socket_ = pair[1];
    slave_ = std::async(std::launch::async, [&listener, socket = pair[0]] {
      return listener.handle_new_connection(socket_transport(socket, "a socket pair", true));
    });
    test::register_on(socket_, name);
  }
  MuteSlave(const MuteSlave&) = delete;
  MuteSlave& operator=(const MuteSlave&) = delete;
  ~MuteSlave() { hang_up(); }

  void hang_up() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }

  /// Null where it takes too long.
  std::shared_ptr<Slave> slave() {
    return slave_.wait_for(ample) == std::future_status::ready ? slave_.get() : nullptr;
  }

 private:
  int socket_ = -1;
  std::future<std::shared_ptr<Slave>> slave_;
};

/// Why a slave is not let in that registers by itself; empty: it was, and has gone.
std::string refusal_of(SlaveListener& listener, const std::string& name) {
  std::array<int, 2> pair{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0);
  const UniqueFd theirs(pair[1]);
  auto refused = std::async(std::launch::async, [&listener, socket = pair[0]]() -> std::string {
    try {
      listener.handle_new_connection(socket_transport(socket, "a socket pair", true));
    } catch (const Error& error) {
      return error.message();
    }
    return {};
  });
  const bool is_in = test::try_to_register_on(theirs.get(), name);
  const std::string why = refused.get();
  CHECK(is_in == why.empty());
  return why;
}

}  // namespace

TEST_CASE("setup()s that never return delay no other slave, no callback, and no decision about a name") {
  constexpr int count = 40;
  std::promise<void> go;
  std::promise<void> all_begun;
  std::atomic<int> begun = 0;
  struct Stuck final : Slave {
    Stuck(SlaveInit init, std::function<void()> wait) : Slave(std::move(init)), wait_(std::move(wait)) {}
    void setup() override { wait_(); }
    std::function<void()> wait_;
  };
  const auto wait = [&, gone = go.get_future().share()] {
    if (++begun == count) all_begun.set_value();
    gone.wait();
  };
  SlaveCollection slaves;
  TransportSlaveListener listener({.slave_collection = slaves,
                                   .slave_class = [&wait](SlaveInit init) -> std::shared_ptr<Slave> {
                                     if (!init.info().name.starts_with("stuck"))
                                       return std::make_shared<Slave>(std::move(init));
                                     return std::make_shared<Stuck>(std::move(init), wait);
                                   },
                                   .arbitration_timeout = 50ms});
  std::vector<std::unique_ptr<MuteSlave>> stuck;
  for (int i = 0; i < count; ++i) {
    stuck.push_back(std::make_unique<MuteSlave>(listener, "stuck-" + std::to_string(i)));
  }
  REQUIRE(all_begun.get_future().wait_for(ample) == std::future_status::ready);

  MuteSlave quick(listener, "quick");
  const auto slave = quick.slave();
  REQUIRE(slave);
  std::promise<void> told;
  slave->on_disconnect([&told] { told.set_value(); });
  quick.hang_up();
  CHECK(told.get_future().wait_for(ample) == std::future_status::ready);
  CHECK(slaves.find("quick") == nullptr);

  MuteSlave old(listener, "twin");
  const auto first = old.slave();
  REQUIRE(first);
  MuteSlave newer(listener, "twin");  // the old one does not answer the ping
  const auto second = newer.slave();
  REQUIRE(second);
  CHECK(slaves.find("twin") == second);
  CHECK_FALSE(first->is_connected());

  go.set_value();
  for (const auto& one : stuck) CHECK(one->slave());
}

TEST_CASE("a callback that never returns does not keep a lost slave in the collection") {
  std::promise<void> go;
  struct Prepared final : Slave {
    Prepared(SlaveInit init, std::function<void()> wait) : Slave(std::move(init)), wait_(std::move(wait)) {}
    void setup() override { on_disconnect(wait_); }  // before it is in
    std::function<void()> wait_;
  };
  const auto wait = [gone = go.get_future().share()] { gone.wait(); };
  SlaveCollection slaves;
  TransportSlaveListener listener({.slave_collection = slaves, .slave_class = [&wait](SlaveInit init) {
                                     return std::make_shared<Prepared>(std::move(init), wait);
                                   }});
  MuteSlave lost(listener, "worker");
  REQUIRE(lost.slave());
  const auto before = slaves.version();
  lost.hang_up();
  CHECK(slaves.wait_for_change(before, ample));
  CHECK(slaves.size() == 0);
  MuteSlave again(listener, "worker");
  CHECK(again.slave());
  go.set_value();
}

/// A slave that registers by itself at a unix socket and then is mute; false where it is refused.
class Caller {
 public:
  Caller(const std::string& address, const std::string& name) {
    auto socket = connect_to(*parse_address(address), ample);
    REQUIRE(socket.ok());
    socket_ = std::move(*socket);
    is_in_ = test::try_to_register_on(socket_.get(), name);
  }
  [[nodiscard]] bool is_in() const { return is_in_; }

 private:
  UniqueFd socket_;
  bool is_in_ = false;
};

/// A listener whose slaves called "stuck..." hang in setup() until they are let go.
class Stuck {
 public:
  explicit Stuck(std::size_t max_handshakes)
      : listener({.slave_collection = slaves,
                  .slave_class = [this](SlaveInit init) -> std::shared_ptr<Slave> {
                    if (!init.info().name.starts_with("stuck")) return std::make_shared<Slave>(std::move(init));
                    return std::make_shared<Hanging>(std::move(init), gone_);
                  },
                  .path = dir / "socket",
                  .max_handshakes = max_handshakes}) {
    listener.start();
  }
  ~Stuck() { go_.set_value(); }

 private:
  struct Hanging final : Slave {
    Hanging(SlaveInit init, std::shared_future<void> gone) : Slave(std::move(init)), gone_(std::move(gone)) {}
    void setup() override { gone_.wait(); }
    std::shared_future<void> gone_;
  };

  test::TempDir dir;
  std::promise<void> go_;
  std::shared_future<void> gone_ = go_.get_future().share();

 public:
  SlaveCollection slaves;
  UnixSlaveListener listener;
};

TEST_CASE("setup()s that never return take no places of those who register") {
  std::vector<std::unique_ptr<Caller>> stuck;
  Stuck master(4);
  for (int i = 0; i < 10; ++i) {
    stuck.push_back(std::make_unique<Caller>(master.listener.address(), "stuck-" + std::to_string(i)));
    CHECK(stuck.back()->is_in());
  }
  const Caller honest(master.listener.address(), "honest");
  CHECK(honest.is_in());
  CHECK(master.slaves.get_slave(ample));
}

TEST_CASE("there is a bound for setup()s that run, and who comes then is told to come back") {
  std::vector<std::unique_ptr<Caller>> stuck;
  Stuck master(1);
  for (int i = 0; i < 16; ++i) {
    stuck.push_back(std::make_unique<Caller>(master.listener.address(), "stuck-" + std::to_string(i)));
    CHECK(stuck.back()->is_in());
  }
  CHECK_FALSE(Caller(master.listener.address(), "honest").is_in());
}

TEST_CASE("on_disconnect callbacks of one slave that never return do not pile up without end") {
  std::promise<void> go;
  const auto wait = [gone = go.get_future().share()] { gone.wait(); };
  SlaveCollection slaves;
  TransportSlaveListener listener({.slave_collection = slaves});
  constexpr int most = 16;
  for (int i = 0; i < most; ++i) {
    MuteSlave slave(listener, "worker");
    const auto handle = slave.slave();
    REQUIRE(handle);
    handle->on_disconnect(wait);
    const auto before = slaves.version();
    slave.hang_up();
    REQUIRE(slaves.wait_for_change(before, ample));
  }
  MuteSlave other(listener, "other");
  CHECK(other.slave());
  CHECK(refusal_of(listener, "worker")
            .find("on_disconnect callbacks of 16 earlier connections of this slave have not returned") !=
        std::string::npos);
  go.set_value();
}

TEST_CASE("a listener that goes waits for the callbacks of a slave whose last handle is being dropped") {
  // Holds the thread that drops the handle inside the destructor of the back end.
  struct Held final : LostCallback {
    explicit Held(std::promise<void>& begun, std::shared_future<void> go) : begun_(begun), go_(std::move(go)) {}
    void note(Leftovers& /*leftovers*/) noexcept override {
      begun_.set_value();
      go_.wait();
    }
    std::promise<void>& begun_;
    std::shared_future<void> go_;
  };
  SlaveCollection slaves;
  std::optional<TransportSlaveListener> listener(std::in_place, ListenerOptions{.slave_collection = slaves});
  MuteSlave mute(*listener, "worker");
  auto slave = mute.slave();
  REQUIRE(slave);
  std::atomic<int> calls = 0;
  slave->on_disconnect([&calls] { ++calls; });
  std::promise<void> begun;
  std::promise<void> go;
  OperationAccess::backend(*slave)->on_lost(std::make_unique<Held>(begun, go.get_future().share()));
  slaves.remove_slave(*slave);

  auto dropped = std::async(std::launch::async, [&slave] { slave.reset(); });
  REQUIRE(begun.get_future().wait_for(ample) == std::future_status::ready);
  auto gone = std::async(std::launch::async, [&listener] { listener.reset(); });
  CHECK(gone.wait_for(50ms) == std::future_status::timeout);  // it would not need that long
  go.set_value();
  REQUIRE(gone.wait_for(ample) == std::future_status::ready);
  CHECK(calls == 1);
}

TEST_CASE("a slave whose slave class refuses it ends, though its slave class keeps it") {
  std::shared_ptr<Slave> kept;
  std::promise<void> told;
  SlaveCollection slaves;
  {
    TransportSlaveListener listener(
        {.slave_collection = slaves, .slave_class = [&](SlaveInit init) -> std::shared_ptr<Slave> {
           kept = std::make_shared<Slave>(std::move(init));
           kept->on_disconnect([&told] { told.set_value(); });
           throw SlaveRefused("not today");
         }});
    CHECK(refusal_of(listener, "worker").find("not today") != std::string::npos);
    CHECK(told.get_future().wait_for(ample) == std::future_status::ready);
    CHECK_FALSE(kept->is_connected());
  }
  CHECK_THROWS_AS(kept->ping(), ConnectionLost);
}

TEST_CASE("a slave that is let in and goes, again and again, comes too often in the end") {
  test::FakeClock clock;  // stands still: none of them comes later than the one before
  SlaveCollection slaves;
  TransportSlaveListener listener({.slave_collection = slaves, .runtime = std::make_shared<Runtime>(clock)});
  std::string refused;
  std::size_t times = 0;
  for (; times < 2 * Names::pace.burst && refused.empty(); ++times) {
    refused = refusal_of(listener, "worker");
    for (auto before = slaves.version(); slaves.find("worker"); before = slaves.version()) {
      REQUIRE(slaves.wait_for_change(before, ample));
    }
  }
  CHECK(times > Names::pace.burst);
  CHECK(refused.find("it comes too often") != std::string::npos);
}

}  // namespace remsh
