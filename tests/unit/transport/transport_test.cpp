// Tests of what holds for every transport, and of what is special to descriptors.
#include "support/transport_calls.hpp"
#include "transport/loop.hpp"
#include "unit/transport/recorder.hpp"
#include "unit/transport/transports.hpp"

#include <remsh/base/error.hpp>
#include <remsh/transport/descriptors.hpp>
#include <remsh/transport/memory.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using namespace remsh;
using remsh::test::for_each_transport;
using remsh::test::read_result;
using remsh::test::Recorder;
using remsh::test::settle;
using remsh::test::write_to;
using Status = IoResult::Status;
using Owned = std::unique_ptr<Transport>;

namespace {

/// Reads until so many bytes have come, or the end; "!" and the number behind what came before a failure.
std::string read_until(Transport& transport, std::size_t count) {
  std::string all;
  std::array<char, 3000> buffer;
  while (all.size() < count) {
    const IoResult result = transport.read_some(buffer, Transport::slice);
    if (result.status == Status::end) break;
    if (result.status == Status::failed) return all + "!" + std::to_string(result.error);
    all.append(buffer.data(), result.bytes);
  }
  return all;
}

/// Writes until nothing more is taken.
void fill(Transport& transport) {
  const std::string bytes(64 * 1024, 'f');
  while (write_to(transport, bytes).status == Status::ok) {
  }
}

/// Whether what was filled stays so until somebody reads: TCP goes on moving bytes to the other side for a while.
bool stays_full(const Transport& transport) { return !transport.description().ends_with("tcp"); }

}  // namespace

TEST_CASE("bytes come out as they went in, both ways, however they are cut") {
  for_each_transport([](Owned a, Owned b) {
    const std::string message("both\0ways\xff and back", 19);
    for (std::size_t cut = 0; cut <= message.size(); ++cut) {
      for (auto [from, to] : {std::pair(a.get(), b.get()), std::pair(b.get(), a.get())}) {
        for (const std::string_view part :
             {std::string_view(message).substr(0, cut), std::string_view(message).substr(cut)}) {
          if (!part.empty()) REQUIRE(write_to(*from, part).bytes == part.size());
        }
        CHECK(read_until(*to, message.size()) == message);
      }
    }
  });
}

TEST_CASE("several buffers are written in their order, empty ones too") {
  for_each_transport([](Owned a, Owned b) {
    std::vector<std::string_view> parts{"", "one ", "", "two ", "three"};
    CHECK(a->write_some(parts).bytes == 13);
    CHECK(read_until(*b, 13) == "one two three");
    parts.assign(5000, "xy");  // more than the system takes in one call
    std::size_t written = 0;
    while (written < parts.size()) {
      const IoResult result = a->write_some(std::span(parts).subspan(written));
      REQUIRE(result.status == Status::ok);
      REQUIRE(result.bytes % 2 == 0);
      written += result.bytes / 2;
    }
    CHECK(read_until(*b, 10000).size() == 10000);
  });
}

TEST_CASE("where nothing is to be read, a read says so, after any wait") {
  for_each_transport([](Owned a, Owned) {
    std::array<char, 8> buffer;
    for (const Duration wait : {Duration::zero(), Duration(1us), Duration(2ms), Transport::slice, Duration(1h)}) {
      const IoResult result = a->read_some(buffer, wait);
      CHECK(result.status == Status::would_block);
    }
    CHECK(a->read_some({}, Duration::zero()).status == Status::would_block);
  });
}

TEST_CASE("what was sent before the other side went is read, and then the end") {
  for_each_transport([](Owned a, Owned b) {
    REQUIRE(write_to(*b, "last words").status == Status::ok);
    b.reset();
    CHECK(read_until(*a, 10) == "last words");
    CHECK(read_result(*a).status == Status::end);
    CHECK(read_result(*a).status == Status::end);
  });
}

TEST_CASE("writing to one who has gone fails and sends no signal") {
  for_each_transport([](Owned a, Owned b) {
    b.reset();
    IoResult result;
    do {
      result = write_to(*a, "x");  // TCP learns it by the answer to the first
    } while (result.status == Status::ok);
    if (result.status == Status::would_block) FAIL("blocked");
    CHECK(result.status == Status::failed);
    CHECK((result.error == EPIPE || result.error == ECONNRESET));
    sigset_t pending;
    ::sigpending(&pending);
    CHECK(::sigismember(&pending, SIGPIPE) == 0);
  });
}

TEST_CASE("a shutdown wakes who reads and who waits, and both sides see the end") {
  for_each_transport([](Owned a, Owned b) {
    std::promise<void> begun;
    auto reader = std::async(std::launch::async, [&] {
      begun.set_value();
      return read_result(*a).status;
    });
    auto waiter = std::async(std::launch::async, [&] { return b->wait(Ready::read, 1h); });
    begun.get_future().get();
    a->shutdown();
    CHECK(reader.get() != Status::ok);
    CHECK(waiter.get() == Ready::read);
    CHECK(read_result(*b).status == Status::end);
    CHECK(read_result(*a).status != Status::ok);
    CHECK(write_to(*a, "x").status == Status::failed);
    CHECK(a->wait(Ready::read, 1h) == Ready::read);
    a->shutdown();
    b->shutdown();
    CHECK(write_to(*b, "x").status == Status::failed);
  });
}

TEST_CASE("a wait for either direction ends with the one that is ready") {
  for_each_transport([](Owned a, Owned b) {
    CHECK(a->wait(Ready::read, Duration::zero()) == Ready::none);
    CHECK(a->wait(Ready::read, 1ms) == Ready::none);
    CHECK(a->wait(Ready::both, 1h) == Ready::write);
    REQUIRE(write_to(*b, "x").status == Status::ok);
    CHECK(a->wait(Ready::read, 1h) == Ready::read);
    if (!stays_full(*a)) return;
    fill(*a);
    CHECK(a->wait(Ready::both, 1h) == Ready::read);
    CHECK(a->wait(Ready::write, Duration::zero()) == Ready::none);
  });
}

TEST_CASE("4 MiB get through a reader that is slower than the writer") {
  for_each_transport([](Owned a, Owned b) {
    std::string sent(4 * 1024 * 1024, '\0');
    unsigned value = 1;
    for (char& c : sent) c = static_cast<char>((value = value * 1664525 + 1013904223) >> 24U);
    std::promise<void> full;
    auto reader = std::async(std::launch::async, [&] {
      full.get_future().get();
      return read_until(*b, sent.size());
    });
    std::string_view rest = sent;
    bool blocked = false;
    while (!rest.empty()) {
      const IoResult result = write_to(*a, rest);
      REQUIRE((result.status == Status::ok || result.status == Status::would_block));
      rest.remove_prefix(result.bytes);
      if (result.status == Status::would_block) {
        if (!std::exchange(blocked, true)) full.set_value();
        a->wait(Ready::write, 1h);
      }
    }
    CHECK(blocked);
    if (!blocked) full.set_value();
    CHECK((reader.get() == sent));
  });
}

TEST_CASE("an armed transport tells once, and again when it is armed again") {
  for_each_transport([](Owned a, Owned b) {
    const auto loop = Loop::start();
    const auto recorder = std::make_shared<Recorder>();
    const auto slot = loop->add(recorder);
    a->arm(loop->watcher(), Ready::read, Loop::token(slot, 1));
    settle(*loop);
    CHECK(recorder->count() == 0);
    REQUIRE(write_to(*b, "x").status == Status::ok);
    recorder->wait_for(1);
    REQUIRE(write_to(*b, "y").status == Status::ok);
    settle(*loop);
    CHECK(recorder->count() == 1);
    CHECK(recorder->event(0) == std::pair(1U, Ready::read));
    a->arm(loop->watcher(), Ready::read, Loop::token(slot, 2));  // there already
    recorder->wait_for(2);
    CHECK(recorder->event(1) == std::pair(2U, Ready::read));
    CHECK(read_until(*a, 2) == "xy");
    a->arm(loop->watcher(), Ready::both, Loop::token(slot, 3));
    recorder->wait_for(3);
    CHECK(recorder->event(2) == std::pair(3U, Ready::write));
    settle(*loop);
    CHECK(recorder->count() == 3);
    a->disarm_for_good(loop->watcher());
  });
}

TEST_CASE("a transport armed for writing tells when there is room again") {
  for_each_transport([](Owned a, Owned b) {
    const auto loop = Loop::start();
    const auto recorder = std::make_shared<Recorder>();
    const auto slot = loop->add(recorder);
    fill(*a);
    a->arm(loop->watcher(), Ready::write, Loop::token(slot, 1));
    settle(*loop);
    if (stays_full(*a)) {
      CHECK(recorder->count() == 0);
    }
    std::array<char, 64 * 1024> buffer;
    while (b->read_some(buffer, Transport::slice).status == Status::ok) {
    }
    recorder->wait_for(1);
    CHECK(recorder->event(0) == std::pair(1U, Ready::write));
    a->disarm_for_good(loop->watcher());
  });
}

TEST_CASE("a disarmed transport is silent") {
  for_each_transport([](Owned a, Owned b) {
    const auto loop = Loop::start();
    const auto recorder = std::make_shared<Recorder>();
    const auto slot = loop->add(recorder);
    a->arm(loop->watcher(), Ready::both, Loop::token(slot, 1));
    recorder->wait_for(1);
    a->arm(loop->watcher(), Ready::read, Loop::token(slot, 2));
    a->arm(loop->watcher(), Ready::none, Loop::token(slot, 3));
    REQUIRE(write_to(*b, "x").status == Status::ok);
    b.reset();
    settle(*loop);
    CHECK(recorder->count() == 1);
    a->disarm_for_good(loop->watcher());
  });
}

TEST_CASE("an armed transport tells of the other side's end and of its own shutdown") {
  for_each_transport([](Owned a, Owned b) {
    const auto loop = Loop::start();
    const auto recorder = std::make_shared<Recorder>();
    const auto slot = loop->add(recorder);
    b->arm(loop->watcher(), Ready::read, Loop::token(slot, 1));
    b->shutdown();
    recorder->wait_for(1);
    b->arm(loop->watcher(), Ready::read, Loop::token(slot, 2));  // the end stays
    recorder->wait_for(2);
    b->disarm_for_good(loop->watcher());
    b.reset();
    a->arm(loop->watcher(), Ready::read, Loop::token(slot, 3));
    recorder->wait_for(3);
    CHECK(recorder->event(2) == std::pair(3U, Ready::read));
    a->disarm_for_good(loop->watcher());
  });
}

TEST_CASE("a shutdown in the middle of reads, writes and armings ends them all") {
  for_each_transport([](Owned a, Owned b) {
    const auto loop = Loop::start();
    const auto recorder = std::make_shared<Recorder>();
    const auto slot = loop->add(recorder);
    std::atomic<int> busy{0};
    std::thread reader([&] {
      ++busy;
      std::array<char, 4096> buffer;
      while (a->read_some(buffer, Transport::slice).status <= Status::would_block) {
      }
    });
    std::thread writer([&] {
      ++busy;
      const std::string bytes(10000, 'w');
      while (write_to(*a, bytes).status != Status::failed) a->wait(Ready::write, Transport::slice);
    });
    std::thread other([&] {
      ++busy;
      std::array<char, 4096> buffer;
      while (b->read_some(buffer, Transport::slice).status <= Status::would_block) write_to(*b, "answer");
    });
    while (busy < 3) std::this_thread::yield();
    for (std::uint32_t i = 0; i < 100; ++i) a->arm(loop->watcher(), Ready::both, Loop::token(slot, i));
    a->shutdown();
    reader.join();
    writer.join();
    other.join();
    a->disarm_for_good(loop->watcher());
  });
}

TEST_CASE("only what the system itself connects says that it is inherited") {
  CHECK_FALSE(test::make_tcp().first->is_inherited());
  CHECK(test::make_unix().first->is_inherited());
  CHECK(test::make_pipes().first->is_inherited());
  CHECK(test::make_tcp().first->description() == "tcp");
}

TEST_CASE("descriptors that a transport takes over are closed by exec, and with it") {
  auto [a, b] = test::descriptor_pair();
  auto [read_end, write_end] = test::pipe_ends();
  for (const UniqueFd* fd : {&a, &read_end, &write_end}) REQUIRE(::fcntl(fd->get(), F_SETFD, 0) == 0);
  const std::array<int, 3> numbers{a.get(), read_end.get(), write_end.get()};
  {
    const Owned socket = socket_transport(a.release(), "a");
    const Owned pipes = pipe_transport(read_end.release(), write_end.release(), "b");
    for (const int fd : numbers) CHECK(::fcntl(fd, F_GETFD) == FD_CLOEXEC);
  }
  for (const int fd : numbers) CHECK(::fcntl(fd, F_GETFD) == -1);
}

TEST_CASE("the flags of a pipe that others share stay as they are") {
  auto [read_end, write_end] = test::pipe_ends();
  const UniqueFd shared_read(::fcntl(read_end.get(), F_DUPFD_CLOEXEC, 0));
  const UniqueFd shared_write(::fcntl(write_end.get(), F_DUPFD_CLOEXEC, 0));
  const Owned pipes = pipe_transport(read_end.release(), write_end.release(), "pipes");
  CHECK((::fcntl(shared_read.get(), F_GETFL) & O_NONBLOCK) == 0);
  CHECK((::fcntl(shared_write.get(), F_GETFL) & O_NONBLOCK) == 0);
}

TEST_CASE("a regular file is no transport, and is closed all the same") {
  auto [read_end, write_end] = test::pipe_ends();
  const int pipe_number = read_end.get();
  const int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  REQUIRE(file >= 0);
  CHECK_THROWS_AS(pipe_transport(read_end.release(), file, "a file"), Error);
  CHECK(::fcntl(file, F_GETFD) == -1);
  CHECK(::fcntl(pipe_number, F_GETFD) == -1);
}

TEST_CASE("a TCP transport sends small writes at once") {
  auto [a, b] = test::tcp_pair();
  const int fd = a.get();
  const Owned transport = socket_transport(a.release(), "tcp");
  int value = 0;
  socklen_t size = sizeof value;
  REQUIRE(::getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &size) == 0);
  CHECK(value != 0);
}

TEST_CASE("a connection that was reset is a failure, not an end") {
  auto [a, b] = test::tcp_pair();
  const Owned transport = socket_transport(a.release(), "tcp");
  const linger at_once{1, 0};
  REQUIRE(::setsockopt(b.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
  b.reset();
  const IoResult result = read_result(*transport);
  CHECK(result.status == Status::failed);
  CHECK(result.error == ECONNRESET);
}

TEST_CASE("a memory pair holds no more than its capacity") {
  auto [a, b] = memory_pair(5);
  CHECK(write_to(*a, "1234567").bytes == 5);
  CHECK(write_to(*a, "6").status == Status::would_block);
  CHECK(read_until(*b, 5) == "12345");
  CHECK(write_to(*a, "67").bytes == 2);
  CHECK(write_to(*b, "other").bytes == 5);
}
