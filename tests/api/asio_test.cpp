// Started operations on the host's own io_context, with an Asio that is not the library's.
#include "support/slaves.hpp"

#include <remsh/asio.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/bind_executor.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/io_context.hpp>
#include <asio/use_future.hpp>
#if defined(ASIO_HAS_CO_AWAIT)
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/use_awaitable.hpp>
#endif

#include <doctest/doctest.h>
#include <remsh/messages.hpp>

#include <chrono>
#include <exception>
#include <thread>
#include <utility>
#include <vector>

namespace remsh::test {

namespace {

/// What a handler was given.
template <class T>
struct Told {
  std::exception_ptr error;
  T outcome{};
  std::thread::id thread;
};

template <class T>
auto into(Told<T>& told, asio::io_context& context) {
  return asio::bind_executor(context, [&told](std::exception_ptr error, T outcome) {
    told = {std::move(error), std::move(outcome), std::this_thread::get_id()};
  });
}

}  // namespace

TEST_CASE("an operation completes on the host's io_context, which runs for as long as one is under way") {
  on_every_transport([](Farm&, Slave& slave) {
    asio::io_context context;
    Told<ExecuteResult> told;
    async_wait(slave.start_execute({"sh", "-c", "echo hello"}), into(told, context));
    std::thread host([&] { context.run(); });
    const auto host_id = host.get_id();
    host.join();
    CHECK(told.error == nullptr);
    CHECK(told.outcome.out == "hello\n");
    CHECK(told.thread == host_id);
  });
}

TEST_CASE("its callbacks run there too, and what goes wrong arrives as an exception") {
  Farm farm(Over::memory);
  const auto slave = farm.start();
  asio::io_context context;
  Told<ExecuteResult> told;
  std::thread::id called_back;
  async_wait(slave->start_execute({"echo", "x"}, {.out = [&](BytesView) { called_back = std::this_thread::get_id(); }}),
             into(told, context));
  std::exception_ptr trouble;
  async_wait(slave->start_mkdir("/proc/nothing/here"),
             asio::bind_executor(context, [&](std::exception_ptr error) { trouble = std::move(error); }));
  context.run();
  CHECK(called_back == std::this_thread::get_id());
  CHECK(told.outcome.ok());
  REQUIRE(trouble != nullptr);
  CHECK_THROWS_AS(std::rethrow_exception(trouble), RemoteError);
}

TEST_CASE("many threads may run the context") {
  Farm farm(Over::memory);
  const auto slave = farm.start();
  asio::io_context context;
  std::vector<Told<ExecuteResult>> told(32);
  for (std::size_t i = 0; i < told.size(); ++i) {
    async_wait(slave->start_execute({"sh", "-c", "head -c 100000 /dev/zero; echo " + std::to_string(i)}),
               into(told[i], context));
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { context.run(); });
  for (auto& thread : threads) thread.join();
  for (std::size_t i = 0; i < told.size(); ++i) {
    CHECK(told[i].error == nullptr);
    CHECK((told[i].outcome.out == Bytes(100'000, '\0') + std::to_string(i) + "\n"));
  }
}

TEST_CASE("Asio's cancellation ends an operation") {
  Farm farm(Over::memory);
  const auto slave = farm.start();
  asio::io_context context;
  asio::cancellation_signal signal;
  Told<ExecuteResult> told;
  async_wait(slave->start_execute({"sh", "-c", "echo begun; sleep 1000"},
                                  {.out = [&](BytesView) { signal.emit(asio::cancellation_type::terminal); }}),
             asio::bind_cancellation_slot(signal.slot(), into(told, context)));
  context.run();
  REQUIRE(told.error != nullptr);
  CHECK_THROWS_AS(std::rethrow_exception(told.error), Cancelled);
}

TEST_CASE("other completion tokens do") {
  Farm farm(Over::memory);
  const auto slave = farm.start();
  asio::io_context context;
  auto future = async_wait(slave->start_stat("."), asio::bind_executor(context, asio::use_future));
  context.run();
  const auto info = future.get();
  REQUIRE(info);
  CHECK(info->is_directory());
}

TEST_CASE("connections and messages are awaited like operations") {
  Listener listener;
  asio::io_context context;
  MessageConnection server;
  Bytes seen;
  async_wait(listener.start_accept({.deadline = std::chrono::milliseconds(10)}),
             asio::bind_executor(context, [&](const std::exception_ptr& error, const MessageConnection& none) {
               CHECK(error);
               CHECK(none.is_closed());
             }));
  context.run();
  context.restart();
  async_wait(listener.start_accept(),
             asio::bind_executor(context, [&](const std::exception_ptr& error, MessageConnection connection) {
               CHECK_FALSE(error);
               server = std::move(connection);
               async_wait(server.start_recv_bytes(),
                          asio::bind_executor(
                              context, [&](const std::exception_ptr&, const Bytes& message) { seen = message; }));
             }));
  Client client(listener.address());
  client.send_bytes("hello");
  context.run();
  CHECK(seen == "hello");
}

#if defined(ASIO_HAS_CO_AWAIT)
TEST_CASE("a coroutine awaits one operation after the other") {
  Farm farm(Over::memory);
  const auto slave = farm.start();
  asio::io_context context;
  Bytes seen;
  // Each is started in a statement of its own: older g++ destroys what is made within a co_await twice.
  const auto work = [&]() -> asio::awaitable<void> {
    auto sent = slave->start_send(Source::bytes("content"), "file");
    co_await async_wait(std::move(sent), asio::use_awaitable);
    auto renamed = slave->start_rename("file", "renamed");
    co_await async_wait(std::move(renamed), asio::use_awaitable);
    auto cat = slave->start_execute({"cat", "renamed"});
    seen = (co_await async_wait(std::move(cat), asio::use_awaitable)).out;
    auto fails = slave->start_rename("missing", "x");
    try {
      co_await async_wait(std::move(fails), asio::use_awaitable);
    } catch (const RemoteError& error) {
      seen += " " + error.message();
    }
  };
  asio::co_spawn(context, work, asio::detached);
  context.run();
  CHECK(seen == "content rename: No such file or directory");
}
#endif

}  // namespace remsh::test
