// Remsh1Server: one connection to an original master, on real transports.
#include "slave/remsh1_server.hpp"

#include "operations/operations.hpp"
#include "support/peer_pair.hpp"
#include "support/temp_dir.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace remsh;
using namespace remsh::test;
using rpc::StreamName;
using Reason = ServeResult::Reason;

namespace {

/// A server on a thread of its own, whose operations the test makes up; the test is the master, registered already.
struct ServedRemsh1 {
  explicit ServedRemsh1(TransportPair transports, Handlers handlers, bool registers = true)
      : master(std::move(transports.first)) {
    Remsh1Server::Options options;
    options.loop = loop;
    options.workplace = *Workplace::open(dir.path());
    options.hostname = "w1";
    options.serve = [handlers = std::move(handlers)](const Served& call) { handlers.at(call->command())(call); };
    server = std::make_shared<Remsh1Server>(std::move(transports.second), std::move(options));
    result = std::async(std::launch::async, [this] { return server->run(); });
    CHECK(master.read() == Box{{"hostname", "w1"}, {"type", "register"}, {"version", "1"}});
    if (registers) master.write(Box{{"type", "registered"}});
  }
  ServedRemsh1(const ServedRemsh1&) = delete;
  ServedRemsh1& operator=(const ServedRemsh1&) = delete;
  ~ServedRemsh1() {
    server->close();
    if (result.valid()) result.wait();
  }

  void call(const char* command, Box arguments = {}) {
    arguments.set("_ask", std::to_string(++last_tag));
    arguments.set("_command", command);
    master.write(arguments);
  }
  void execute() { call("execute", {{"args", "x"}, {"want_stdout", "y"}, {"want_stderr", "y"}}); }

  Box error(const char* text) const {
    return Box{{"_error", std::to_string(last_tag)}, {"_error_code", "0"}, {"_error_description", text}};
  }
  Box answer() const { return Box{{"_answer", std::to_string(last_tag)}}; }

  TempDir dir;
  OwnedLoop loop;
  RawEnd master;
  std::shared_ptr<Remsh1Server> server;
  std::future<ServeResult> result;
  int last_tag = 0;
};

/// A command as the io thread relays one: sends `size` bytes as there is room, and then ends; or at once where it is
/// cancelled.
class LoopRelay : public std::enable_shared_from_this<LoopRelay> {
 public:
  LoopRelay(Served call, std::size_t size, Loop* loop) : call_(std::move(call)), left_(size), loop_(loop) {}

  void start() {
    loop_->post([self = shared_from_this()] {
      self->call_->on_change([self] { self->loop_->post([self] { self->step(); }); });
      self->step();
    });
  }

 private:
  void step() {
    if (!call_) return;
    if (call_->cancelled()) {
      call_->fail({Errc::cancelled, "", 0});
      return call_.reset();
    }
    while (left_ > 0) {
      const std::size_t part = std::min({left_, call_->room(StreamName::out), Block::max_payload});
      if (part == 0) return call_->flush();
      call_->send(StreamName::out, block_of(Bytes(part, 'r')), part);
      left_ -= part;
    }
    call_->answer(to_box(operations::Execute::Reply{.exit_code = 5, .signal = {}}));
    call_.reset();
  }

  Served call_;
  std::size_t left_;
  Loop* const loop_;
};

/// A command that never ends by itself, and never says anything.
class Endless : public std::enable_shared_from_this<Endless> {
 public:
  Endless(Served call, Loop* loop) : call_(std::move(call)), loop_(loop) {}
  void start() {
    loop_->post([self = shared_from_this()] {
      self->call_->on_change([self] {
        if (self->call_ && self->call_->cancelled()) {
          self->loop_->post([self] {
            if (!self->call_) return;
            self->call_->fail({Errc::cancelled, "", 0});
            self->call_.reset();
          });
        }
      });
    });
  }

 private:
  Served call_;
  Loop* const loop_;
};

}  // namespace

TEST_CASE("what an operation answers, fails with or throws away is one answer") {
  over_each_transport([](const auto& transports) {
    ServedRemsh1 session(transports(), {
                                           {"mkdir", [](const Served& call) { call->answer({}); }},
                                           {"remove",
                                            [](const Served& call) {
                                              call->fail({Errc::os_error, "", EBUSY});
                                            }},
                                           {"stat", [](const Served&) {}},
                                           {"getenv",
                                            [](const Served& call) {
                                              call->answer({{"env", "no list"}});
                                            }},
                                       });
    session.call("mkdir", {{"dir", "d"}});
    CHECK(session.master.read() == session.answer());
    session.call("remove", {{"path", "p"}});
    CHECK(session.master.read() == session.error("tree not removed"));
    session.call("stat", {{"pathname", "p"}});
    CHECK(session.master.read() == session.error("the operation ended without an answer"));
    session.call("getenv");
    CHECK(session.master.read().has("_error"));
    session.call("unknown");
    CHECK(session.master.read() == session.error("no such command: 'unknown'"));
  });
}

TEST_CASE("calls that come all at once are done one after another") {
  over_each_transport([](const auto& transports) {
    std::vector<std::string> done;
    ServedRemsh1 session(transports(), {
                                           {"mkdir",
                                            [&](const Served& call) {
                                              done.emplace_back(*call->arguments().get("path"));
                                              call->answer({});
                                            }},
                                           {"execute",
                                            [&](const Served& call) {
                                              done.emplace_back("execute");
                                              std::make_shared<LoopRelay>(call, 3, session.loop.operator->())->start();
                                            }},
                                       });
    Bytes bytes;
    for (const char* const tag : {"1", "2"}) {
      append_box(bytes, Box{{"_ask", tag}, {"_command", "mkdir"}, {"dir", tag}});
    }
    append_box(bytes,
               {{"_ask", "3"}, {"_command", "execute"}, {"args", "x"}, {"want_stderr", ""}, {"want_stdout", "y"}});
    append_box(bytes, {{"_ask", "4"}, {"_command", "mkdir"}, {"dir", "4"}});
    session.master.write(bytes);
    for (const char* const tag : {"1", "2", "3"}) CHECK(session.master.read() == Box{{"_answer", tag}});
    CHECK(session.master.read().get("data") == "rrr");
    CHECK(session.master.read().get("result") == "5");
    CHECK(session.master.read() == Box{{"_answer", "4"}});
    CHECK(done == std::vector<std::string>{"1", "2", "execute", "4"});
  });
}

TEST_CASE("the output of a command is relayed with bounded memory, whenever the master reads it") {
  over_each_transport([](const auto& transports) {
    constexpr std::size_t size = 3'000'000;
    ServedRemsh1 session(transports(), {{"execute", [&](const Served& call) {
                                           std::make_shared<LoopRelay>(call, size, session.loop.operator->())->start();
                                         }}});
    for (int round = 0; round < 2; ++round) {
      session.execute();
      CHECK(session.master.read() == session.answer());
      std::size_t count = 0;
      for (;;) {
        const Box box = session.master.read();
        REQUIRE(box.has("_ask"));
        if (box.get("_command") == "finished") {
          CHECK(box.get("result") == "5");
          break;
        }
        CHECK(box.get("stream") == "stdout");
        count += box.get("data")->size();
      }
      CHECK(count == size);
    }
  });
}

TEST_CASE("a command that was not started is an error, and none of its boxes follow") {
  over_each_transport([](const auto& transports) {
    ServedRemsh1 session(transports(), {{"execute", [](const Served& call) {
                                           call->fail({Errc::os_error, "", ENOENT});
                                         }}});
    session.execute();
    CHECK(session.master.read() == session.error("OSError(2, 'No such file or directory')"));
    session.execute();
    CHECK(session.master.read() == session.error("OSError(2, 'No such file or directory')"));
  });
}

TEST_CASE("a master that goes ends the command, and the server when that is over") {
  over_each_transport([](const auto& transports) {
    ServedRemsh1 session(transports(), {{"execute", [&](const Served& call) {
                                           std::make_shared<Endless>(call, session.loop.operator->())->start();
                                         }}});
    session.execute();
    CHECK(session.master.read() == session.answer());
    SUBCASE("without a word") {}
    SUBCASE("with a goodbye") { session.master.write(BytesView("\0", 1)); }
    SUBCASE("after calls for later") {
      for (int i = 0; i < 3; ++i) session.call("stat", {{"pathname", "/"}});
    }
    session.master.transport().shutdown();
    const ServeResult result = session.result.get();
    CHECK(result.registered);
    CHECK((result.reason == Reason::ended || result.reason == Reason::lost));
  });
}

TEST_CASE("a master that sends so much ahead that its end would not be seen ends the command and the connection") {
  over_each_transport([](const auto& transports) {
    ServedRemsh1 session(transports(), {{"execute", [&](const Served& call) {
                                           std::make_shared<Endless>(call, session.loop.operator->())->start();
                                         }}});
    session.execute();
    CHECK(session.master.read() == session.answer());
    const Bytes ahead = encode(Box{{"_ask", "7"}, {"_command", "stat"}, {"pathname", Bytes(60'000, 'x')}});
    try {
      session.master.write(ahead);
      session.master.write(ahead);
    } catch (const std::runtime_error&) {  // it does not wait for all of it
    }
    CHECK(session.result.get().reason == Reason::protocol);
  });
}

TEST_CASE("close() ends whatever is under way") {
  over_each_transport([](const auto& transports) {
    SUBCASE("nothing") {
      ServedRemsh1 session(transports(), {});
      session.server->close();
      CHECK(session.result.get().reason == Reason::stopped);
    }
    SUBCASE("the registration") {
      ServedRemsh1 session(transports(), {}, false);
      session.server->close();
      const ServeResult result = session.result.get();
      CHECK(result.reason == Reason::stopped);
      CHECK_FALSE(result.registered);
    }
    SUBCASE("a command") {
      ServedRemsh1 session(transports(), {{"execute", [&](const Served& call) {
                                             std::make_shared<Endless>(call, session.loop.operator->())->start();
                                           }}});
      session.execute();
      CHECK(session.master.read() == session.answer());
      session.server->close();
      CHECK(session.result.get().reason == Reason::stopped);
    }
    SUBCASE("a command that nobody reads") {
      ServedRemsh1 session(transports(),
                           {{"execute", [&](const Served& call) {
                               std::make_shared<LoopRelay>(call, 50'000'000, session.loop.operator->())->start();
                             }}});
      session.execute();
      CHECK(session.master.read() == session.answer());
      session.server->close();
      CHECK(session.result.get().reason == Reason::stopped);
    }
    SUBCASE("a fetch that nobody reads") {
      std::promise<bool> written;
      ServedRemsh1 session(transports(), {{"fetch", [&](const Served& call) {
                                             bool is_going = true;
                                             while (is_going) is_going = call->write(StreamName::out, Block(), 60'000);
                                             written.set_value(is_going);
                                             call->fail({Errc::cancelled, "", 0});
                                           }}});
      session.call("fetch", {{"src", "f"}});
      CHECK(session.master.read() == session.answer());
      session.server->close();
      CHECK_FALSE(written.get_future().get());
      CHECK(session.result.get().reason == Reason::stopped);
    }
    SUBCASE("a send whose data does not come") {
      ServedRemsh1 session(transports(), {{"send", [&](const Served& call) {
                                             CHECK_FALSE(call->read());
                                             CHECK(call->cancelled());
                                             CHECK(call->lost());
                                             call->fail({Errc::cancelled, "", 0});
                                           }}});
      session.call("send", {{"dest", "f"}});
      CHECK(session.master.read() == session.answer());
      session.server->close();
      CHECK(session.result.get().reason == Reason::stopped);
    }
  });
}

TEST_CASE("a file that cannot be read to its end is a failure at the end, and the connection goes on") {
  over_each_transport([](const auto& transports) {
    ServedRemsh1 session(transports(), {{"fetch",
                                         [](const Served& call) {
                                           call->announce_total(100);
                                           call->write(StreamName::out, block_of("begin"), 5);
                                           call->fail({Errc::os_error, "", EIO});
                                         }},
                                        {"mkdir", [](const Served& call) { call->answer({}); }}});
    session.call("fetch", {{"src", "f"}});
    CHECK(session.master.read() == session.answer());
    CHECK(session.master.read() == Box{{"_ask", "1"}, {"_command", "data"}, {"data", "begin"}});
    const Box last = session.master.read();
    CHECK(last.get("_command") == "finished");
    CHECK(last.get("errmsg") == "Input/output error");
    CHECK(last.get("errstr") == "Input/output error");
    session.call("mkdir", {{"dir", "d"}});
    CHECK(session.master.read() == session.answer());
  });
}

TEST_CASE("a file that cannot be written is a failure when all of it has come") {
  over_each_transport([](const auto& transports) {
    ServedRemsh1 session(transports(), {{"send",
                                         [](const Served& call) {
                                           CHECK(call->read() == "one");
                                           call->fail({Errc::os_error, "", ENOSPC});
                                         }},
                                        {"mkdir", [](const Served& call) { call->answer({}); }}});
    session.call("send", {{"dest", "f"}});
    CHECK(session.master.read() == session.answer());
    session.call("data", {{"data", "one"}});
    session.call("mkdir", {{"dir", "d"}});
    CHECK(session.master.read() == session.answer());
    for (int i = 0; i < 20; ++i) session.call("data", {{"data", Bytes(60'000, 'x')}});
    session.call("mkdir", {{"dir", "d"}});  // in the middle of what nobody wants any more
    CHECK(session.master.read() == session.answer());
    session.call("finished");
    CHECK(session.master.read() == session.error("No space left on device"));
  });
}

TEST_CASE("how a command ended that cannot be told ends the connection") {
  ServedRemsh1 session(memory_pair(), {{"execute", [&](const Served& call) {
                                          session.loop->post([call] {
                                            call->on_change([] {});
                                            call->fail({Errc::remote_failure, "it is lost in space", 0});
                                          });
                                        }}});
  session.execute();
  CHECK(session.master.read() == session.answer());
  CHECK(session.master.read().empty());
  const ServeResult result = session.result.get();
  CHECK(result.reason == Reason::lost);
  CHECK(result.message.find("it is lost in space") != std::string::npos);
}

TEST_CASE("the end of the connection is told for what it is") {
  const auto result_of = [](BytesView bytes, bool registers) {
    ServedRemsh1 session(memory_pair(), {}, registers);
    session.master.write(bytes);
    session.master.transport().shutdown();
    return session.result.get();
  };
  CHECK(result_of("", true).reason == Reason::ended);
  CHECK(result_of("", true).registered);
  CHECK(result_of(BytesView("\0", 1), true).reason == Reason::ended);  // how our masters take leave
  CHECK(result_of(BytesView("\0\4_as", 5), true).reason == Reason::lost);
  CHECK(result_of(BytesView("\0\0", 2), true).reason == Reason::protocol);  // an empty box
  CHECK(result_of("GET / HTTP/1.0\r\n", true).reason == Reason::protocol);
  CHECK(result_of("", false).reason == Reason::lost);
  CHECK(result_of(BytesView("\0", 1), false).reason == Reason::lost);
  CHECK(result_of(encode({{"type", "refused"}}), false).reason == Reason::protocol);
  CHECK_FALSE(result_of(encode({{"type", "refused"}}), false).registered);
}
