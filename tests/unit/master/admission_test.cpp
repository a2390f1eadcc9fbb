// Registrations next to user code that never returns.
#include "support/registered_socket.hpp"

#include <doctest/doctest.h>
#include <remsh/master/slave_collection.hpp>
#include <remsh/master/transport_slave_listener.hpp>
#include <remsh/transport/descriptors.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace remsh {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::seconds ample{60};

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
                            if (!init.info().name.starts_with("stuck")) return std::make_shared<Slave>(std::move(init));
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
  const auto version = slaves.version();
  lost.hang_up();
  CHECK(slaves.wait_for_change(version, ample));
  CHECK(slaves.size() == 0);
  MuteSlave again(listener, "worker");
  CHECK(again.slave());
  go.set_value();
}

}  // namespace remsh
