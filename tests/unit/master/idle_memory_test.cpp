#include "support/memory_in_use.hpp"
#include "support/registered_socket.hpp"
#include "support/skip.hpp"

#include <doctest/doctest.h>
#include <remsh/base/completion_queue.hpp>
#include <remsh/connection/box_codec.hpp>
#include <remsh/master/slave_collection.hpp>
#include <remsh/master/slave_filter.hpp>
#include <remsh/master/transport_slave_listener.hpp>
#include <remsh/transport/descriptors.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <string>
#include <vector>

#ifdef REMSH_CAN_COUNT
namespace remsh {

namespace {

/// Answers one ping.
void answer_ping_on(int socket) {
  BoxDecoder decoder{BoxLimits{}};
  std::array<char, 256> buffer{};
  while (!decoder.next()) {
    const ssize_t got = ::read(socket, buffer.data(), buffer.size());
    REQUIRE(got > 0);
    decoder.feed(BytesView(buffer.data(), static_cast<std::size_t>(got)));
  }
  const Bytes answer = encode(Box{{"_answer", Bytes(decoder.box().get("_ask").value())}});
  REQUIRE(::send(socket, answer.data(), answer.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(answer.size()));
}

/// Pings the slaves at these sockets, all at the same time.
void ping_all(const std::vector<std::shared_ptr<Slave>>& slaves, const std::vector<int>& sockets) {
  CompletionQueue queue;
  for (const auto& slave : slaves) {
    slave->start_ping().then(queue, [](auto done) { CHECK_NOTHROW(done.wait()); });
  }
  for (const int socket : sockets) answer_ping_on(socket);
  queue.run();
}

}  // namespace

TEST_CASE("an idle slave costs its master little memory, also after a call to all") {
  // The second least of several batches: half of them pay for a table that has grown, and one may get what a thread has
  // given back late.
  // In all 400 slaves, with two sockets each, are within the usual limit of 1024.
  constexpr std::size_t batches = 7;
  constexpr std::size_t count = 50;
  ::mallopt(M_ARENA_MAX, 1);  // else each thread has memory of its own, and only that of one is counted
  SlaveCollection slaves;
  TransportSlaveListener listener({.slave_collection = slaves, .keepalive = std::chrono::milliseconds(0)});
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
  std::sort(costs.begin(), costs.end());
  const std::size_t each = costs[1];
  MESSAGE("bytes of an idle slave: ", each);
  CHECK(each <= 1024);
  // Looking at all slaves leaves nothing behind at them.
  const std::size_t unseen = test::bytes_in_use();
  CHECK(slaves.get_slave(no_wait, label("os") || label("rack", "7")) == nullptr);
  CHECK(slaves.snapshot().size() == others.size());
  CHECK(test::bytes_taken_since(unseen) / others.size() < 64);
  // Nor does a call to all; the buffers of threads are there after the first one.
  const auto all = slaves.get_all_slaves();
  ping_all({all.front()}, {others.front()});
  const std::size_t uncalled = test::bytes_in_use();
  ping_all(all, others);
  CHECK(test::bytes_taken_since(uncalled) / others.size() < 64);
  for (const int socket : others) ::close(socket);
}

}  // namespace remsh
#else
TEST_CASE("an idle slave costs its master little memory, also after a call to all") {
  remsh::test::skip("the heap cannot be counted here: a sanitizer has its own, or the C library does not tell");
}
#endif
