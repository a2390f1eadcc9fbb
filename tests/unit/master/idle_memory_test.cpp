#include "support/memory_in_use.hpp"
#include "support/registered_socket.hpp"
#include "support/skip.hpp"

#include <doctest/doctest.h>
#include <remsh/master/slave_collection.hpp>
#include <remsh/master/slave_filter.hpp>
#include <remsh/master/transport_slave_listener.hpp>
#include <remsh/transport/descriptors.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <future>
#include <memory>
#include <string>
#include <vector>

#ifdef REMSH_CAN_COUNT
namespace remsh {

TEST_CASE("an idle slave costs its master little memory") {
  // The median of several batches, as one may pay for a table that has grown, or hold what a thread gives back later.
  // In all 400 slaves, with two sockets each, are within the usual limit of 1024.
  constexpr std::size_t batches = 7;
  constexpr std::size_t count = 50;
  ::mallopt(M_ARENA_MAX, 1);  // else each thread has memory of its own, and only that of one is counted
  SlaveCollection slaves;
  TransportSlaveListener listener({.slave_collection = slaves});
  std::vector<int> others;
  std::size_t before = 0;
  std::vector<std::size_t> costs;
  for (std::size_t i = 0; i <= (batches + 1) * count; ++i) {
    if (i % count == 0) {
      if (i > count) costs.push_back(test::bytes_taken_since(before) / count);
      before = test::bytes_in_use();  // after the first batch threads, tables and caches are there
    }
    std::array<int, 2> pair{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0);
    others.push_back(pair[1]);
    auto slave = std::async(std::launch::async, [&listener, socket = pair[0]] {
      return listener.handle_new_connection(socket_transport(socket, "a socket pair", true));
    });
    test::register_on(pair[1], "worker-" + std::to_string(i));
    REQUIRE(slave.get());
  }
  REQUIRE(costs.size() == batches);
  std::nth_element(costs.begin(), costs.begin() + batches / 2, costs.end());
  const std::size_t each = costs[batches / 2];
  MESSAGE("bytes of an idle slave: ", each);
  CHECK(each <= 1024);
  // Looking at all slaves leaves nothing behind at them.
  const std::size_t unseen = test::bytes_in_use();
  CHECK(slaves.get_slave(no_wait, label("os") || label("rack", "7")) == nullptr);
  CHECK(slaves.snapshot().size() == others.size());
  CHECK(test::bytes_taken_since(unseen) / others.size() < 64);
  for (const int socket : others) ::close(socket);
}

}  // namespace remsh
#else
TEST_CASE("an idle slave costs its master little memory") {
  remsh::test::skip("the heap cannot be counted here: a sanitizer has its own, or the C library does not tell");
}
#endif
