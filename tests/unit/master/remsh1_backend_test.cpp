// Remsh1Backend: what an original slave is sent, by a script that plays it, and who waits for whom.
#include "master/remsh1_backend.hpp"

#include "support/ample.hpp"
#include "transport/loop.hpp"

#include "support/ask.hpp"

#include <doctest/doctest.h>
#include <remsh/connection/connection.hpp>
#include <remsh/transport/memory.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using namespace remsh;
using namespace remsh::operations;
using remsh::test::ample;
using remsh::test::ask;
using namespace std::chrono_literals;

namespace {

/// Runs an operation while the test plays the slave.
template <class Function>
auto in_thread(Function function) {
  return std::async(std::launch::async, std::move(function));
}

template <class T>
T got(std::future<T>& future) {
  REQUIRE(future.wait_for(ample) == std::future_status::ready);
  return future.get();
}

/// Calls a function when a connection has ended.
class CallWhenLost final : public LostCallback {
 public:
  explicit CallWhenLost(std::function<void()> function) : function_(std::move(function)) {}
  void run() noexcept override { function_(); }

 private:
  const std::function<void()> function_;
};

/// A backend whose connection is yet to come, and what its end is told to.
std::shared_ptr<Remsh1Backend> unopened(const std::shared_ptr<Loop>& loop, std::promise<Failure>& ended) {
  return std::make_shared<Remsh1Backend>(
      loop,
      AdmittedBackend::Owner{[](const Backend&, const std::function<void()>& function) { function(); },
                             [&ended](const Backend&, const Failure& failure) { ended.set_value(failure); }, [] {}});
}

/// A backend and, at the other end, what the test reads and says as its slave. One thread at a time, but for `backend`.
struct BackendPair {
  explicit BackendPair(std::size_t capacity = 256 * 1024) {
    auto [ours, theirs] = memory_pair(capacity);
    raw = theirs.get();
    slave.emplace(std::move(theirs));
    backend->on_lost(std::make_unique<CallWhenLost>([this] { lost.set_value(); }));
    backend->open(std::move(ours));
  }
  BackendPair(const BackendPair&) = delete;
  BackendPair& operator=(const BackendPair&) = delete;
  ~BackendPair() {
    backend->disconnect("the test is over");
    backend->wait_until_left();
    backend.reset();
    loop->stop();
  }

  /// Takes the next call, which must be this one; gives its tag.
  Bytes takes(Box call) {
    auto box = slave->read_box(ample);
    REQUIRE(box);
    const Bytes tag(box->get("_ask").value_or("none"));
    call.set("_ask", tag);
    CHECK(*box == call);
    return tag;
  }
  Bytes takes(BytesView command) { return takes(Box{{"_command", command}}); }

  void answers(const Bytes& tag, Box results = {}) {
    results.set("_answer", tag);
    slave->send_box(results, ample);
  }
  void fails(const Bytes& tag, BytesView text) {
    slave->send_box({{"_error", tag}, {"_error_code", "0"}, {"_error_description", text}}, ample);
  }
  void says(BytesView command, Box arguments = {}) {
    arguments.set("_ask", "s" + std::to_string(++said));
    arguments.set("_command", Bytes(command));
    slave->send_box(arguments, ample);
  }

  /// Another caller's whole operation, which shows that the turn is free and the slave well.
  void is_usable() {
    auto path = in_thread([this] { return ask<SetCwd>(*backend, {}); });
    answers(takes("set_cwd"), {{"cwd", "/start"}});
    CHECK(got(path)->path == "/start");
  }

  /// All bytes until the end of the stream.
  [[nodiscard]] Bytes rest() const {
    Bytes bytes;
    std::array<char, 4096> buffer{};
    for (;;) {
      const IoResult result = raw->read_some(buffer, 10ms);
      if (result.status == IoResult::Status::would_block) continue;
      if (result.status != IoResult::Status::ok) return bytes;
      bytes.append(buffer.data(), result.bytes);
    }
  }

  std::promise<Failure> ended;
  std::shared_ptr<Loop> loop = Loop::start();
  std::shared_ptr<Remsh1Backend> backend = unopened(loop, ended);
  Transport* raw = nullptr;
  std::optional<Connection> slave;
  int said = 0;
  std::promise<void> lost;
};

Failure failure_at_end(BackendPair& pair) {
  auto future = pair.ended.get_future();
  return got(future);
}

const Patience forever;

Execute::Request command(std::vector<Bytes> args) {
  Execute::Request request;
  request.args = std::move(args);
  return request;
}

Box execute_box(BytesView args, BytesView out = "n", BytesView err = "n") {
  return Box{{"_command", "execute"}, {"args", args}, {"want_stderr", err}, {"want_stdout", out}};
}

/// Takes the call that begins a file; gives its temporary name.
Bytes takes_send(BackendPair& pair) {
  const auto box = pair.slave->read_box(ample);
  REQUIRE(box);
  CHECK(box->get("_command") == "send");
  const Bytes name(box->get("dest").value_or(""));
  pair.answers(Bytes(*box->get("_ask")));
  return name;
}

InputCallback text_input(Bytes text) {
  return [text = std::move(text)](std::span<char> buffer) mutable {
    const std::size_t count = std::min(buffer.size(), text.size());
    std::copy_n(text.begin(), count, buffer.begin());
    text.erase(0, count);
    return count;
  };
}

}  // namespace

TEST_CASE("plain operations have the keys of the original") {
  BackendPair pair;
  auto cwd = in_thread([&] { return ask<SetCwd>(*pair.backend, {"d"}); });
  pair.answers(pair.takes(Box{{"_command", "set_cwd"}, {"cwd", "d"}}), {{"cwd", "/start/d"}});
  CHECK(got(cwd)->path == "/start/d");

  auto made = in_thread([&] { return ask<Mkdir>(*pair.backend, {"d/e", {}}); });
  pair.answers(pair.takes(Box{{"_command", "mkdir"}, {"dir", "d/e"}}));
  CHECK(got(made));

  auto removed = in_thread([&] { return ask<Remove>(*pair.backend, {"d"}); });
  pair.answers(pair.takes(Box{{"_command", "remove"}, {"path", "d"}}));
  CHECK(got(removed));

  auto renamed = in_thread([&] { return ask<Rename>(*pair.backend, {"a", "b"}); });
  pair.answers(pair.takes(Box{{"_command", "rename"}, {"dest", "b"}, {"src", "a"}}));
  CHECK(got(renamed));

  auto pinged = in_thread([&] { return ask<Ping>(*pair.backend, {}); });
  pair.answers(pair.takes(Box{{"_command", "set_cwd"}, {"cwd", ""}}), {{"cwd", "/start/d"}});
  CHECK(got(pinged));
  pair.is_usable();
}

TEST_CASE("an environment comes without the prefix of its keys") {
  BackendPair pair;
  auto env = in_thread([&] { return ask<Getenv>(*pair.backend, {}); });
  pair.answers(pair.takes("getenv"), {{"env_A", "1"}, {"env_B", ""}, {"other", "x"}});
  CHECK(got(env)->env == std::map<Bytes, Bytes>{{"A", "1"}, {"B", ""}});
}

TEST_CASE("a file or a directory is there, or nothing is") {
  BackendPair pair;
  for (const auto& [result, type] : {std::pair{"d", FileType::directory}, std::pair{"f", FileType::file}}) {
    auto info = in_thread([&] { return ask<Stat>(*pair.backend, {"p"}); });
    pair.answers(pair.takes(Box{{"_command", "stat"}, {"pathname", "p"}}), {{"result", result}});
    CHECK(got(info)->info->type == type);
  }
  auto nothing = in_thread([&] { return ask<Stat>(*pair.backend, {"p"}); });
  pair.answers(pair.takes(Box{{"_command", "stat"}, {"pathname", "p"}}), {{"result", ""}});
  CHECK_FALSE(got(nothing)->info.has_value());
}

TEST_CASE("an answer that makes no sense costs the call, not the connection") {
  BackendPair pair;
  for (const Box& results : {Box{{"result", "x"}}, Box()}) {
    auto info = in_thread([&] { return ask<Stat>(*pair.backend, {"p"}); });
    pair.answers(pair.takes(Box{{"_command", "stat"}, {"pathname", "p"}}), results);
    CHECK(got(info).failure().code == Errc::protocol_error);
  }
  pair.is_usable();
}

TEST_CASE("what an error says is understood where it can be, and the slave stays usable") {
  BackendPair pair;
  auto renamed = in_thread([&] { return ask<Rename>(*pair.backend, {"a", "b"}); });
  pair.fails(pair.takes(Box{{"_command", "rename"}, {"dest", "b"}, {"src", "a"}}), "'a' does not exist");
  CHECK(got(renamed).failure().os == ENOENT);

  auto removed = in_thread([&] { return ask<Remove>(*pair.backend, {"d"}); });
  pair.fails(pair.takes(Box{{"_command", "remove"}, {"path", "d"}}), "tree not removed");
  const Failure failure = got(removed).failure();
  CHECK(failure.code == Errc::remote_failure);
  CHECK(failure.message == "tree not removed");
  pair.is_usable();
}

TEST_CASE("nothing is ever replaced, as remsh 1 cannot do it in one step") {
  BackendPair pair;
  for (const bool overwrite : {false, true}) {
    auto renamed = in_thread([&] { return ask<Rename>(*pair.backend, {"a", "b", overwrite}); });
    pair.fails(pair.takes(Box{{"_command", "rename"}, {"dest", "b"}, {"src", "a"}}), "'b' already exists");
    const Failure failure = got(renamed).failure();
    CHECK(failure.code == (overwrite ? Errc::unsupported : Errc::os_error));
    CHECK(failure.os == (overwrite ? 0 : EEXIST));
  }
}

TEST_CASE("a copy goes to a name of its own, and gets its name when it is complete") {
  BackendPair pair;
  auto copied = in_thread([&] { return ask<Copy>(*pair.backend, {"a", "d/b"}); });
  pair.answers(pair.takes(Box{{"_command", "stat"}, {"pathname", "d/b"}}), {{"result", ""}});
  const auto box = pair.slave->read_box(ample);
  REQUIRE(box);
  const Bytes part(box->get("dest").value_or(""));
  CHECK(part.starts_with("d/.remsh-"));
  CHECK(box->get("src") == "a");
  SUBCASE("which it does") {
    pair.answers(Bytes(*box->get("_ask")));
    pair.answers(pair.takes(Box{{"_command", "rename"}, {"dest", "d/b"}, {"src", part}}));
    CHECK(got(copied));
  }
  SUBCASE("or else it is removed") {
    pair.fails(Bytes(*box->get("_ask")), "[Errno 21] Is a directory: 'a'");
    CHECK(got(copied).failure().os == EISDIR);
    pair.fails(pair.takes(Box{{"_command", "remove"}, {"path", part}}), "tree not removed");  // which nobody can help
  }
  pair.is_usable();
}

TEST_CASE("the output of a command comes as the slave sends it, and its end as Python tells it") {
  BackendPair pair;
  Bytes out;
  Bytes err;
  for (const auto& [result, exit_code, signal] : {std::tuple{"3", std::optional(3), std::optional<int>()},
                                                  std::tuple{"-9", std::optional<int>(), std::optional(9)}}) {
    out.clear();
    err.clear();
    auto done = in_thread([&] {
      return ask<Execute>(
          *pair.backend, command({"sh", "-c", "x"}), {},
          {.out = [&](BytesView bytes) { out += bytes; }, .err = [&](BytesView bytes) { err += bytes; }});
    });
    pair.answers(pair.takes(execute_box(BytesView("sh\0-c\0x", 7), "y", "y")));
    pair.says("data", {{"data", "o1"}, {"stream", "stdout"}});
    pair.says("data", {{"data", "e"}, {"stream", "stderr"}});
    pair.says("data", {{"data", "o2"}, {"stream", "stdout"}});
    pair.says("finished", {{"result", result}});
    const auto ended = got(done);
    REQUIRE(ended);
    CHECK(ended->exit_code == exit_code);
    CHECK(ended->signal == signal);
    CHECK(out == "o1o2");
    CHECK(err == "e");
  }
  pair.is_usable();
}

TEST_CASE("a command that cannot be started fails as the system said") {
  BackendPair pair;
  auto done = in_thread([&] { return ask<Execute>(*pair.backend, command({"nope"})); });
  pair.fails(pair.takes(execute_box("nope")), "OSError(2, 'No such file or directory')");
  CHECK(got(done).failure().os == ENOENT);
  pair.is_usable();
}

TEST_CASE("a command in another directory is led there and back, within its turn") {
  BackendPair pair;
  Execute::Request request = command({"ls"});
  request.cwd = "sub";
  auto done = in_thread([&] { return ask<Execute>(*pair.backend, request); });
  pair.answers(pair.takes(Box{{"_command", "set_cwd"}, {"cwd", ""}}), {{"cwd", "/home"}});
  const Bytes there = pair.takes(Box{{"_command", "set_cwd"}, {"cwd", "sub"}});
  SUBCASE("where there is one") {
    pair.answers(there, {{"cwd", "/home/sub"}});
    pair.answers(pair.takes(execute_box("ls")));
    pair.says("finished", {{"result", "0"}});
    CHECK(got(done)->exit_code == 0);
    pair.answers(pair.takes(Box{{"_command", "set_cwd"}, {"cwd", "/home"}}), {{"cwd", "/home"}});
    pair.is_usable();
  }
  SUBCASE("where there is none") {
    pair.fails(there, "No such file or directory");
    CHECK(got(done).failure().os == ENOENT);
    pair.answers(pair.takes(Box{{"_command", "set_cwd"}, {"cwd", "/home"}}), {{"cwd", "/home"}});
    pair.is_usable();
  }
  SUBCASE("where there is no way back, no other may be misled") {
    pair.answers(there, {{"cwd", "/home/sub"}});
    pair.answers(pair.takes(execute_box("ls")));
    pair.says("finished", {{"result", "0"}});
    CHECK(got(done)->exit_code == 0);
    pair.fails(pair.takes(Box{{"_command", "set_cwd"}, {"cwd", "/home"}}), "Permission denied");
    CHECK(failure_at_end(pair).message.find("cannot go back") != std::string::npos);
  }
}

TEST_CASE("a file is sent under another name, and gets its own when it is complete") {
  BackendPair pair;
  auto sent = in_thread([&] {
    return ask<Send>(*pair.backend, {.path = "d/f", .mode = 0644}, {}, {.in = text_input(Bytes(70'000, 'x'))});
  });
  pair.answers(pair.takes(Box{{"_command", "stat"}, {"pathname", "d/f"}}), {{"result", ""}});
  const Bytes part = takes_send(pair);
  CHECK(part.starts_with("d/.remsh-"));
  pair.takes(Box{{"_command", "data"}, {"data", Bytes(65'535, 'x')}});
  pair.takes(Box{{"_command", "data"}, {"data", Bytes(70'000 - 65'535, 'x')}});
  pair.answers(pair.takes("finished"));
  const Bytes rename = pair.takes(Box{{"_command", "rename"}, {"dest", "d/f"}, {"src", part}});
  SUBCASE("which it does") {
    pair.answers(rename);
    CHECK(got(sent));
  }
  SUBCASE("or else it is removed") {
    pair.fails(rename, "'d/f' already exists");
    CHECK(got(sent).failure().os == EEXIST);
    pair.answers(pair.takes(Box{{"_command", "remove"}, {"path", part}}));
  }
  pair.is_usable();
}

TEST_CASE("a file that is there already is neither replaced nor sent") {
  BackendPair pair;
  for (const bool overwrite : {false, true}) {
    auto sent = in_thread([&] {
      return ask<Send>(*pair.backend, {.path = "f", .overwrite = overwrite, .mode = 0644}, {}, {.in = text_input("x")});
    });
    pair.answers(pair.takes(Box{{"_command", "stat"}, {"pathname", "f"}}), {{"result", "f"}});
    const Failure failure = got(sent).failure();
    CHECK(failure.code == (overwrite ? Errc::unsupported : Errc::os_error));
  }
  pair.is_usable();
}

TEST_CASE("a program that is sent can be run: chmod sees to it, before it has its name") {
  BackendPair pair;
  auto sent =
      in_thread([&] { return ask<Send>(*pair.backend, {.path = "f", .mode = 0755}, {}, {.in = text_input("")}); });
  pair.answers(pair.takes(Box{{"_command", "stat"}, {"pathname", "f"}}), {{"result", ""}});
  const Bytes part = takes_send(pair);
  pair.answers(pair.takes("finished"));
  const Bytes args = "chmod" + Bytes(1, '\0') + "755" + Bytes(1, '\0') + "--" + Bytes(1, '\0') + part;
  pair.answers(pair.takes(execute_box(args)));
  SUBCASE("where it can") {
    pair.says("finished", {{"result", "0"}});
    pair.answers(pair.takes(Box{{"_command", "rename"}, {"dest", "f"}, {"src", part}}));
    CHECK(got(sent));
  }
  SUBCASE("where it cannot") {
    pair.says("finished", {{"result", "1"}});
    CHECK(got(sent).failure().code == Errc::remote_failure);
    pair.answers(pair.takes(Box{{"_command", "remove"}, {"path", part}}));
  }
  pair.is_usable();
}

TEST_CASE("a sender who leaves leaves nothing behind") {
  BackendPair pair;
  auto sent = in_thread([&] {
    bool is_first = true;
    const InputCallback input = [&](std::span<char> buffer) {
      if (!std::exchange(is_first, false)) throw std::runtime_error("no more");
      buffer[0] = 'x';
      return std::size_t{1};
    };
    return ask<Send>(*pair.backend, {.path = "f"}, {}, {.in = input});
  });
  pair.answers(pair.takes(Box{{"_command", "stat"}, {"pathname", "f"}}), {{"result", ""}});
  const Bytes part = takes_send(pair);
  pair.takes(Box{{"_command", "data"}, {"data", "x"}});
  REQUIRE(sent.wait_for(ample) == std::future_status::ready);
  CHECK_THROWS_AS((void)sent.get(), std::runtime_error);
  auto next = in_thread([&] { return ask<Ping>(*pair.backend, {}); });  // waits until all that is done
  pair.answers(pair.takes("finished"));
  pair.answers(pair.takes(Box{{"_command", "remove"}, {"path", part}}));
  pair.answers(pair.takes(Box{{"_command", "set_cwd"}, {"cwd", ""}}), {{"cwd", "/"}});
  CHECK(got(next));
}

TEST_CASE("a file is fetched piece by piece, and the slave hears that it has come") {
  BackendPair pair;
  Bytes file;
  auto fetched =
      in_thread([&] { return ask<Fetch>(*pair.backend, {"f"}, {}, {.out = [&](BytesView bytes) { file += bytes; }}); });
  pair.answers(pair.takes(Box{{"_command", "fetch"}, {"src", "f"}}));
  pair.says("data", {{"data", "hello "}});
  pair.says("data", {{"data", "file"}});
  SUBCASE("to its end") {
    pair.says("finished");
    CHECK(got(fetched));
    CHECK(file == "hello file");
  }
  SUBCASE("or to an error") {
    pair.says("finished", {{"errstr", "Input/output error"}});
    CHECK(got(fetched).failure().os == EIO);
  }
  CHECK(*pair.slave->read_box(ample) == Box{{"_answer", "s3"}});
  pair.is_usable();
}

TEST_CASE("who leaves a fetch has the rest of it swallowed") {
  BackendPair pair;
  auto fetched = in_thread([&] {
    return ask<Fetch>(*pair.backend, {"f"}, {}, {.out = [](BytesView) { throw std::runtime_error("enough"); }});
  });
  pair.answers(pair.takes(Box{{"_command", "fetch"}, {"src", "f"}}));
  pair.says("data", {{"data", "hello "}});
  REQUIRE(fetched.wait_for(ample) == std::future_status::ready);
  CHECK_THROWS_AS((void)fetched.get(), std::runtime_error);
  pair.says("data", {{"data", "file"}});
  pair.says("finished");
  CHECK(*pair.slave->read_box(ample) == Box{{"_answer", "s3"}});
  pair.is_usable();
}

TEST_CASE("who leaves a plain call leaves it to its end, and the next waits for that") {
  BackendPair pair;
  std::stop_source stop;
  auto removed = in_thread([&] { return ask<Remove>(*pair.backend, {"tree"}, {.stop = stop.get_token()}); });
  const Bytes tag = pair.takes(Box{{"_command", "remove"}, {"path", "tree"}});
  stop.request_stop();
  CHECK(got(removed).failure().code == Errc::cancelled);

  CHECK(ask<Mkdir>(*pair.backend, {"d", {}}, {.deadline = no_wait}).failure().code == Errc::timeout);
  CHECK(ask<Ping>(*pair.backend, {}, {.deadline = no_wait}).failure().code == Errc::busy);  // no sign of death
  pair.answers(tag);
  pair.is_usable();
}

TEST_CASE("what a caller has left is not over before the slave has been heard out, or is gone") {
  class Noted final : public OperationsEnd {
   public:
    explicit Noted(std::promise<void>& noted) : noted_(noted) {}
    void note() noexcept override { noted_.set_value(); }

   private:
    std::promise<void>& noted_;
  };
  for (const bool answers : {true, false}) {
    CAPTURE(answers);
    BackendPair pair;
    std::promise<void> noted;
    auto end = std::make_unique<Noted>(noted);
    end->range.first = pair.backend->next_operation();
    std::stop_source stop;
    Asked<Remove> asked({"tree"});
    auto work = pair.backend->start(asked, {.stop = stop.get_token()});
    work->suspend();
    const Bytes tag = pair.takes(Box{{"_command", "remove"}, {"path", "tree"}});
    stop.request_stop();
    work->wait_until(TimePoint::max());
    end->range.end = pair.backend->next_operation();
    auto future = noted.get_future();
    pair.backend->notify_when_over(std::move(end));
    CHECK(future.wait_for(0s) == std::future_status::timeout);
    if (answers) {
      pair.answers(tag);
    } else {
      pair.backend->disconnect("enough");
    }
    got(future);
    if (answers) pair.is_usable();
  }
}

TEST_CASE("a deadline ends a wait for an answer") {
  BackendPair pair;
  for (const auto patience : {20ms, 1000ms, 10000ms}) {  // the call must be sent in time
    auto removed = in_thread([&] { return ask<Remove>(*pair.backend, {"tree"}, {.deadline = patience}); });
    CHECK(got(removed).failure().code == Errc::timeout);
    if (pair.raw->wait(Ready::read, Duration::zero()) == Ready::read) break;
  }
  pair.answers(pair.takes(Box{{"_command", "remove"}, {"path", "tree"}}));
  pair.is_usable();
}

TEST_CASE("with no patience at all nothing is begun") {
  BackendPair pair;
  const Patience none{.deadline = no_wait};
  CHECK(ask<Execute>(*pair.backend, command({"ls"}), none).failure().code == Errc::timeout);
  pair.is_usable();
}

TEST_CASE("who leaves a command ends the connection, inside a box, as nothing else could stop it") {
  BackendPair pair;
  std::stop_source stop;
  auto done = in_thread([&] { return ask<Execute>(*pair.backend, command({"sleep"}), {.stop = stop.get_token()}); });
  pair.answers(pair.takes(execute_box("sleep")));
  stop.request_stop();
  CHECK(got(done).failure().code == Errc::cancelled);
  CHECK(pair.rest() == Bytes(1, '\0'));
  CHECK(ask<Ping>(*pair.backend, {}).failure().code == Errc::connection_lost);
  CHECK(failure_at_end(pair).message.find("left a command") != std::string::npos);
}

TEST_CASE("callers take turns, each with a whole operation") {
  BackendPair pair;
  constexpr int callers = 8;
  constexpr int calls = 20;
  std::atomic<int> right{0};
  std::vector<std::future<void>> futures;
  for (int caller = 0; caller < callers; ++caller) {
    futures.push_back(in_thread([&, name = "d" + std::to_string(caller)] {
      for (int i = 0; i < calls; ++i) {
        const auto path = ask<SetCwd>(*pair.backend, {name});
        if (path && path->path == "/" + name) ++right;
      }
    }));
  }
  for (int i = 0; i < callers * calls; ++i) {
    const auto box = pair.slave->read_box(ample);
    REQUIRE(box);
    pair.answers(Bytes(*box->get("_ask")), {{"cwd", "/" + Bytes(*box->get("cwd"))}});
  }
  for (auto& future : futures) got(future);
  CHECK(right == callers * calls);
}

TEST_CASE("operations have their turns in the order in which they were started") {
  BackendPair pair;
  constexpr int rounds = 50;
  constexpr int operations = 8;
  for (int round = 0; round < rounds; ++round) {
    std::vector<std::unique_ptr<Asked<Remove>>> asked;
    std::vector<Started> started;
    for (int i = 0; i < operations; ++i) {
      asked.push_back(std::make_unique<Asked<Remove>>(Remove::Request{std::to_string(i)}));
      started.push_back(pair.backend->start(*asked.back(), forever));
      started.back()->suspend();
    }
    for (int i = 0; i < operations; ++i) {
      pair.answers(pair.takes(Box{{"_command", "remove"}, {"path", std::to_string(i)}}));
    }
    for (const auto& work : started) {
      work->wait_until(TimePoint::max());
      CHECK(work->take());
    }
  }
}

TEST_CASE("an operation that was stopped while it waited lets those behind it have their turns") {
  BackendPair pair;
  auto first = in_thread([&] { return ask<Remove>(*pair.backend, {"first"}); });
  const Bytes tag = pair.takes(Box{{"_command", "remove"}, {"path", "first"}});
  std::stop_source stop;
  Asked<Remove> left({"left"});
  auto leaving = pair.backend->start(left, {.stop = stop.get_token()});
  leaving->suspend();
  Asked<Remove> last({"last"});
  auto staying = pair.backend->start(last, forever);
  staying->suspend();
  stop.request_stop();
  leaving->wait_until(TimePoint::max());
  CHECK(leaving->take().failure().code == Errc::cancelled);
  pair.answers(tag);
  pair.answers(pair.takes(Box{{"_command", "remove"}, {"path", "last"}}));
  staying->wait_until(TimePoint::max());
  CHECK(staying->take());
  CHECK(got(first));
}

TEST_CASE("a callback cannot have another turn within its own, and is told so instead of waiting for ever") {
  BackendPair pair;
  std::optional<Failure> inner;
  auto fetched = in_thread([&] {
    return ask<Fetch>(*pair.backend, {"f"}, {},
                      {.out = [&](BytesView) { inner = ask<Stat>(*pair.backend, {"f"}).failure(); }});
  });
  pair.answers(pair.takes(Box{{"_command", "fetch"}, {"src", "f"}}));
  pair.says("data", {{"data", "x"}});
  pair.says("finished");
  CHECK(*pair.slave->read_box(ample) == Box{{"_answer", "s2"}});
  CHECK(got(fetched));
  REQUIRE(inner);
  CHECK(inner->code == Errc::unsupported);
  pair.is_usable();
}

TEST_CASE("a caller who is slow to take output slows the slave down") {
  BackendPair pair;
  std::promise<void> begun;
  std::promise<void> go_on;
  std::uint64_t taken = 0;
  auto fetched = in_thread([&] {
    const OutputCallback output = [&](BytesView bytes) {
      if (taken == 0) {
        begun.set_value();
        go_on.get_future().wait();
      }
      taken += bytes.size();
    };
    return ask<Fetch>(*pair.backend, {"f"}, {}, {.out = output});
  });
  pair.answers(pair.takes(Box{{"_command", "fetch"}, {"src", "f"}}));
  pair.says("data", {{"data", "x"}});
  auto has_begun = begun.get_future();
  got(has_begun);
  const Bytes chunk = encode({{"_ask", "1"}, {"_command", "data"}, {"data", Bytes(65'535, 'x')}});
  constexpr std::uint64_t chunks = 100;
  Bytes bytes;
  for (std::uint64_t i = 0; i < chunks; ++i) bytes += chunk;
  bytes += encode({{"_ask", "2"}, {"_command", "finished"}});
  std::string_view rest = bytes;
  const auto write = [&](Duration patience) {
    while (!rest.empty() && pair.raw->wait(Ready::write, patience) == Ready::write) {
      const IoResult result = pair.raw->write_some({&rest, 1});
      REQUIRE(result.status == IoResult::Status::ok);
      rest.remove_prefix(result.bytes);
    }
  };
  write(100ms);
  CHECK(bytes.size() - rest.size() < 2 * 1024 * 1024);
  go_on.set_value();
  write(ample);
  CHECK(got(fetched));
  CHECK(taken == chunks * 65'535 + 1);
}

TEST_CASE("a slave that is slow to take a file slows its sender down") {
  BackendPair pair(1000);
  std::atomic<std::uint64_t> given{0};
  constexpr std::uint64_t size = 8 * 1024 * 1024;
  auto sent = in_thread([&] {
    const InputCallback input = [&](std::span<char> buffer) {
      const auto count = std::min<std::uint64_t>(buffer.size(), size - given);
      given += count;
      return static_cast<std::size_t>(count);
    };
    return ask<Send>(*pair.backend, {.path = "f"}, {}, {.in = input});
  });
  pair.answers(pair.takes(Box{{"_command", "stat"}, {"pathname", "f"}}), {{"result", ""}});
  takes_send(pair);
  std::uint64_t taken = 0;
  std::uint64_t most_ahead = 0;
  for (;;) {
    const auto box = pair.slave->read_box(ample);
    REQUIRE(box);
    if (box->get("_command") == "finished") {
      pair.answers(Bytes(*box->get("_ask")));
      break;
    }
    taken += box->get("data")->size();
    most_ahead = std::max(most_ahead, given - taken);
  }
  CHECK(taken == size);
  CHECK(most_ahead < 1024 * 1024);
  const auto rename = pair.slave->read_box(ample);
  REQUIRE(rename);
  pair.answers(Bytes(*rename->get("_ask")));
  CHECK(got(sent));
}

TEST_CASE("to disconnect is to cut it off inside a box: an original slave ends then, and does not spin") {
  BackendPair pair;
  auto lost = pair.lost.get_future();
  pair.backend->disconnect("enough");
  CHECK(pair.rest() == Bytes(1, '\0'));
  got(lost);
  CHECK(pair.backend->lost()->message == "enough");
  CHECK(ask<Getenv>(*pair.backend, {}).failure().message == "enough");
}

TEST_CASE("the end of an idle slave is seen") {
  BackendPair pair;
  auto lost = pair.lost.get_future();
  pair.slave->close();
  got(lost);
  CHECK(failure_at_end(pair).code == Errc::connection_lost);
}

TEST_CASE("an end in the middle fails who waits, wherever that is") {
  for (int step = 0; step < 6; ++step) {
    CAPTURE(step);
    BackendPair pair;
    auto sent =
        in_thread([&] { return ask<Send>(*pair.backend, {.path = "f", .mode = 0755}, {}, {.in = text_input("x")}); });
    auto next = in_thread([&] {
      while (!pair.backend->lost()) (void)ask<Ping>(*pair.backend, {}, {.deadline = 1ms});
    });
    for (int i = 0; i < step;) {
      const auto box = pair.slave->read_box(ample);
      REQUIRE(box);
      const auto command = box->get("_command");
      if (command == "data") continue;
      const bool is_ping = command == "set_cwd";
      pair.answers(Bytes(*box->get("_ask")), command == "stat" ? Box{{"result", ""}}
                                             : is_ping         ? Box{{"cwd", "/"}}
                                                               : Box());
      if (command == "execute") pair.says("finished", {{"result", "0"}});
      if (!is_ping) ++i;
    }
    pair.slave->close();
    const auto result = got(sent);
    CHECK((result.ok() ? step == 5 : result.failure().code == Errc::connection_lost));
    got(next);
  }
}

TEST_CASE("what nobody asked for ends the connection") {
  BackendPair pair;
  pair.says("data", {{"data", "x"}});
  CHECK(failure_at_end(pair).code == Errc::protocol_error);
  CHECK(pair.rest() == Bytes(1, '\0'));
}

TEST_CASE("what is no box ends the connection") {
  BackendPair pair;
  const std::string_view noise = "\xff\xff";
  pair.raw->write_some({&noise, 1});
  CHECK(failure_at_end(pair).code == Errc::protocol_error);
}

TEST_CASE("what remsh 1 cannot do is refused, and nothing sent") {
  BackendPair pair;
  Backend& backend = *pair.backend;
  const Bytes too_long(70'000, 'x');
  std::vector<Failure> failures;
  const auto refused = [&](const auto& result) { failures.push_back(result.failure()); };
  refused(ask<ReadInfo>(backend, {}));
  refused(ask<Print>(backend, {"hello"}));
  refused(ask<LogTail>(backend, {1}));
  Execute::Request logging;
  logging.args = {"true"};
  logging.logs = {{"log", LogBegin::start}};
  refused(ask<Execute>(backend, logging));
  refused(ask<ListOperations>(backend, {}));
  refused(ask<ReadHostFacts>(backend, {}));
  refused(ask<Shutdown>(backend, {}));
  refused(ask<operations::Call>(backend, {"mine", {}}));
  refused(ask<Mkdir>(backend, {"d", 0700}));
  refused(ask<Stat>(backend, {"p", true}));
  refused(ask<SetCwd>(backend, {too_long}));
  refused(ask<Mkdir>(backend, {too_long, {}}));
  refused(ask<Remove>(backend, {too_long}));
  refused(ask<Rename>(backend, {too_long, "b"}));
  refused(ask<Copy>(backend, {"a", too_long}));
  refused(ask<Stat>(backend, {too_long}));
  refused(ask<Send>(backend, {.path = too_long}));
  refused(ask<Fetch>(backend, {too_long}));
  const auto execute = [&](const std::function<void(Execute::Request&)>& change) {
    Execute::Request request = command({"ls"});
    change(request);
    refused(ask<Execute>(backend, request));
  };
  execute([](auto& request) { request.in = true; });
  execute([](auto& request) { request.set_env = {"A=1"}; });
  execute([](auto& request) { request.unset_env = {"A"}; });
  execute([](auto& request) { request.clear_env = true; });
  execute([](auto& request) { request.err = OutputMode::merge; });
  execute([](auto& request) { request.timeout = 1s; });
  execute([](auto& request) { request.silence = 1s; });
  execute([&](auto& request) { request.args.push_back(too_long); });
  for (const Failure& failure : failures) {
    CHECK(failure.code == Errc::unsupported);
    CHECK(failure.message.starts_with("the slave speaks remsh 1, which "));
  }
  pair.is_usable();
}

TEST_CASE("before it is registered a slave can do nothing, and may be told to go already") {
  auto loop = Loop::start();
  std::promise<Failure> ended;
  const auto backend = unopened(loop, ended);
  CHECK(ask<Ping>(*backend, {}).failure().code == Errc::connection_lost);
  auto [ours, theirs] = memory_pair();
  backend->disconnect("not wanted");
  backend->open(std::move(ours));
  auto future = ended.get_future();
  CHECK(got(future).message == "not wanted");
  backend->wait_until_left();
  loop->stop();
}

TEST_CASE("who waits for the end of a slave that never came to be one is told all the same") {
  bool told = false;
  {
    std::promise<Failure> ended;
    const auto backend = unopened(nullptr, ended);
    backend->on_lost(std::make_unique<CallWhenLost>([&] { told = true; }));
    SUBCASE("when it ends") { backend->fail({Errc::refused, "no", 0}); }
    SUBCASE("when it is dropped") {}
  }
  CHECK(told);
}

TEST_CASE("docs/remsh1.md names the operations that remsh 1 does not have, and so do their errors") {
  const char* const documents = std::getenv("REMSH_DOCUMENTS");
  REQUIRE_MESSAGE(documents != nullptr, "run this by meson test, which says where the documents are");
  std::ifstream file(std::string(documents) + "/remsh1.md");
  std::string row;
  while (std::getline(file, row) && !row.ends_with("` | unsupported |")) {
  }
  const auto loop = Loop::start();
  std::promise<Failure> ended;
  const auto backend = unopened(loop, ended);
  std::size_t missing = 0;
  for_each<AskedOperations>([&]<class Operation>(std::type_identity<Operation>) {
    const std::string name(Operation::what.method);
    const auto reply = ask<Operation>(*backend, {});
    REQUIRE_FALSE(reply.ok());
    const std::string words = "the slave speaks remsh 1, which has no operation '" + name + "'";
    const bool is_missing = reply.failure().message == words;
    CAPTURE(name);
    CHECK(is_missing == (row.find("`" + name + "`") != std::string::npos));
    if (is_missing) CHECK(reply.failure().code == Errc::unsupported);
    missing += is_missing ? 1 : 0;
  });
  CHECK(missing == std::size_t(std::count(row.begin(), row.end(), '`') / 2));
  loop->stop();
}
