// Engine: boxes in, boxes and completions out; what each side accepts.
#include "rpc/engine.hpp"

#include "base/decimal.hpp"
#include "rpc/message.hpp"
#include "support/hex.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace remsh;
using namespace remsh::rpc;
using remsh::test::from_hex;
using namespace std::chrono_literals;

namespace {

using Fields = std::initializer_list<std::pair<BytesView, BytesView>>;

/// A box in words: "_command=data data=hello op=1 stream=out"; long values by their length.
std::string show(const BoxView& view) {
  std::string text;
  for (const auto& [key, value] : view) {
    if (!text.empty()) text += ' ';
    text += Bytes(key) + '=' + (value.size() > 40 ? "<" + std::to_string(value.size()) + ">" : Bytes(value));
  }
  return text;
}

/// One end of a connection without a connection: what the engine tells is recorded, what it sends is taken by out().
struct EngineSide final : private Engine::Events {
  explicit EngineSide(const Engine::Options& wanted) : options(wanted), engine(options, session, *this) {
    session.attach({});
  }

  static Engine::Options master() { return {}; }
  static Engine::Options slave() {
    Engine::Options wanted;
    wanted.serves = true;
    return wanted;
  }

  OpenCall& call(BytesView command, bool has_op = true, const Box& arguments = {}) {
    const auto made = engine.call(command, arguments, has_op, &marker);
    REQUIRE(made);
    return **made;
  }

  /// Gives the engine the boxes of some bytes; the sentence of the breach, or "".
  std::string feed(BytesView bytes, const SharedMemory& memory = {}) {
    session.receive(bytes, {});
    while (const BoxView* const next = session.next()) {
      if (const auto result = engine.receive(*next, memory); !result) {
        CHECK(result.failure().code == Errc::protocol_error);
        while (session.next() != nullptr) {
        }
        return result.failure().message;
      }
    }
    CHECK((!session.is_over() || session.said_goodbye()));
    return "";
  }
  std::string feed(Fields fields) { return feed(encode(Box(fields))); }

  /// All bytes that the queue holds.
  Bytes take_bytes() {
    Bytes bytes;
    while (session.has_output()) {
      std::array<std::string_view, 16> views;
      const std::size_t count = session.gather(views);
      std::size_t size = 0;
      for (std::size_t i = 0; i < count; ++i) {
        bytes += views[i];
        size += views[i].size();
      }
      session.written(size, {});
      engine.send_waiting();
    }
    return bytes;
  }

  /// The boxes that the queue holds, in words, one per line.
  std::string out() {
    const Bytes bytes = take_bytes();
    BoxDecoder boxes;
    boxes.feed(bytes);
    std::string text;
    while (boxes.next()) text += show(boxes.box()) + '\n';
    CHECK(boxes.error() == BoxError::none);
    CHECK_FALSE(boxes.is_inside_box());
    return text;
  }

  /// A call that has come, for a side that serves.
  std::shared_ptr<OpenService> service(Fields fields) {
    REQUIRE(feed(fields) == "");
    REQUIRE_FALSE(services.empty());
    return services.back();
  }

  const Engine::Options options;
  const Session::Options session_options;
  Session session{session_options};
  Engine engine;
  int marker = 0;
  std::vector<std::uint64_t> changed;                  // calls, by id
  std::vector<std::shared_ptr<OpenService>> services;  // that came
  std::vector<const OpenService*> services_changed;

 private:
  void on_call_changed(OpenCall& open) override { changed.push_back(open.id); }
  void on_service(std::shared_ptr<OpenService> service) override { services.push_back(std::move(service)); }
  void on_service_changed(OpenService& service) override { services_changed.push_back(&service); }
};

BoxData filled(std::size_t count) {
  Block result;
  std::memset(result.payload().data(), 'x', count);
  return BoxData::plain(std::move(result), count);
}

/// A call in each state that matters to what may still come for it, by tag.
void make_all_states(EngineSide& side) {
  OpenCall& over = side.call("over");
  REQUIRE(over.id == 1);
  REQUIRE(side.feed({{"_answer", "1"}}) == "");
  side.engine.leave(over);
  REQUIRE(side.call("streaming").id == 2);
  REQUIRE(side.call("plain", false).id == 3);
  REQUIRE(side.call("settled").id == 4);
  REQUIRE(side.feed({{"_answer", "4"}}) == "");
  OpenCall& left = side.call("left");
  REQUIRE(left.id == 5);
  side.engine.leave(left);
  side.out();
}

constexpr std::array<BytesView, 6> all_states{"1", "2", "3", "4", "5", "99"};  // 99: never made

}  // namespace

// --- calls that we make

TEST_CASE("calls are numbered from 1 and answered in any order") {
  EngineSide side(EngineSide::master());
  OpenCall& first = side.call("stat", false, {{"path", "/"}});
  OpenCall& second = side.call("remove", true, {{"path", "a"}});
  CHECK(side.out() == "_ask=1 _command=stat path=/\n_ask=2 _command=remove op=2 path=a\n");
  CHECK(side.feed({{"_answer", "2"}}) == "");
  CHECK(side.feed({{"_answer", "1"}, {"type", "directory"}}) == "");
  CHECK(side.changed == std::vector<std::uint64_t>{2, 1});
  CHECK(std::get<Box>(first.outcome) == Box{{"type", "directory"}});
  CHECK(std::get<Box>(second.outcome) == Box{});
  side.engine.leave(first);
  side.engine.leave(second);
  CHECK(side.engine.open_calls() == 0);
  CHECK(side.out() == "");
}

TEST_CASE("an error ends its call and nothing else") {
  EngineSide side(EngineSide::master());
  OpenCall& first = side.call("stat");
  OpenCall& second = side.call("stat");
  CHECK(side.feed({{"_error", "1"}, {"_error_code", "ENOENT"}, {"_error_description", "gone"}}) == "");
  CHECK(std::get<Failure>(first.outcome).code == Errc::os_error);
  CHECK(std::get<Failure>(first.outcome).message == "gone");
  CHECK(second.state == OpenCall::State::open);
}

TEST_CASE("long values of an answer are joined, and one that cannot be joined ends the connection") {
  EngineSide side(EngineSide::master());
  OpenCall& call = side.call("getenv", false);
  const Bytes full(65535, 'e');
  CHECK(side.feed({{"_answer", "1"}, {"env", full}, {"env~0001", "nd"}}) == "");
  CHECK(std::get<Box>(call.outcome) == Box{{"env", full + "nd"}});
  side.call("getenv", false);
  CHECK(side.feed({{"_answer", "2"}, {"env~0001", "nd"}}) != "");
}

TEST_CASE("a call that cannot be encoded sends nothing and takes no tag") {
  EngineSide side(EngineSide::master());
  const auto refused = side.engine.call("x", {{"op", "mine"}}, true, &side);
  REQUIRE_FALSE(refused);
  CHECK(refused.failure().code == Errc::invalid_argument);
  const auto large = side.engine.call("x", {{"v", Bytes(9'000'000, 'x')}}, true, &side);
  REQUIRE_FALSE(large);
  CHECK(large.failure().code == Errc::too_large);
  CHECK_FALSE(side.session.has_output());
  CHECK(side.engine.open_calls() == 0);
  side.call("x");
  CHECK(side.out() == "_ask=1 _command=x op=1\n");
}

TEST_CASE("output comes before the answer, and both find their call") {
  EngineSide side(EngineSide::master());
  OpenCall& call = side.call("execute");
  CHECK(side.feed({{"_command", "data"}, {"data", "a"}, {"op", "1"}, {"stream", "out"}, {"total", "7"}}) == "");
  CHECK(side.feed({{"_command", "data"}, {"data", "b"}, {"op", "1"}, {"stream", "err"}}) == "");
  CHECK(side.feed({{"_answer", "1"}, {"exit", "0"}}) == "");
  CHECK(side.changed == std::vector<std::uint64_t>{1, 1, 1});
  REQUIRE(call.has_chunk());
  const Chunk err = call.take_chunk();
  CHECK(err.stream == StreamName::err);
  CHECK(err.bytes() == "b");
  const Chunk out = call.take_chunk();
  CHECK(out.stream == StreamName::out);
  CHECK(out.bytes() == "a");
  CHECK(out.total == 7);
  CHECK_FALSE(call.has_chunk());
  CHECK(call.state == OpenCall::State::settled);
}

TEST_CASE("what comes of log files takes turns with the output, and has credit of its own") {
  EngineSide side(EngineSide::master());
  OpenCall& call = side.call("execute");
  for (const BytesView data : {"a", "b"}) {
    const Bytes bytes(data);
    CHECK(side.feed({{"_command", "data"}, {"data", bytes}, {"op", "1"}, {"stream", "out"}}) == "");
    CHECK(side.feed({{"_command", "data"}, {"data", bytes}, {"log", "7"}, {"op", "1"}, {"stream", "log"}}) == "");
  }
  Bytes seen;
  while (call.has_chunk()) {
    const Chunk chunk = call.take_chunk();
    seen += std::string(to_string(chunk.stream)) + " " + Bytes(chunk.bytes()) + ", ";
    CHECK(chunk.marks.log.value_or(0) == (chunk.stream == StreamName::log ? 7U : 0U));
  }
  CHECK(seen == "out a, log a, out b, log b, ");

  side.out();
  const Bytes half(32768, 'x');
  CHECK(side.feed({{"_command", "data"}, {"data", half}, {"log", "0"}, {"op", "1"}, {"stream", "log"}}) == "");
  side.engine.consumed(call, call.take_chunk());
  CHECK(side.out().starts_with("_command=credit bytes="));

  OpenCall& left = side.call("execute");
  side.out();
  CHECK(side.feed({{"_command", "data"}, {"data", half}, {"log", "0"}, {"op", "2"}, {"stream", "log"}}) == "");
  side.engine.leave(left);
  CHECK(side.out().find("op=2 stream=log") != std::string::npos);
  CHECK(side.feed({{"_command", "data"}, {"data", "late"}, {"log", "0"}, {"op", "2"}, {"stream", "log"}}) == "");
  CHECK(side.feed({{"_error", "2"}, {"_error_code", "CANCELLED"}, {"_error_description", ""}}) == "");
  CHECK(side.engine.open_calls() == 1);
}

TEST_CASE("a slave sends of a log file what its own credit allows") {
  EngineSide side(EngineSide::slave());
  const auto service = side.service({{"_ask", "1"}, {"_command", "execute"}, {"op", "o"}});
  side.engine.send_output(*service, StreamName::log, filled(3), std::nullopt, {.log = 2});
  CHECK(side.out() == "_command=data data=xxx log=2 op=o stream=log\n");
  CHECK(service->log.room() < service->out.room());
  CHECK(side.feed({{"_command", "credit"}, {"bytes", "64"}, {"op", "o"}, {"stream", "log"}}) == "");
  CHECK(service->log.room() == service->out.room());
}

TEST_CASE("the header of a command comes before its output, and has credit of its own") {
  EngineSide side(EngineSide::master());
  OpenCall& call = side.call("execute");
  CHECK_FALSE(call.has_chunk());
  CHECK(side.feed({{"_command", "data"}, {"data", "o"}, {"op", "1"}, {"stream", "out"}}) == "");
  const Bytes half(32768, 'x');
  CHECK(side.feed({{"_command", "data"}, {"data", half}, {"op", "1"}, {"stream", "header"}}) == "");
  CHECK(side.feed({{"_command", "data"}, {"data", half}, {"op", "1"}, {"stream", "header"}}) == "");
  CHECK(side.feed({{"_command", "data"}, {"data", "y"}, {"op", "1"}, {"stream", "header"}}).find("more output than") !=
        std::string::npos);
  const Chunk first = call.take_chunk();
  CHECK(first.stream == StreamName::header);
  CHECK(first.bytes() == half);
  side.out();
  side.engine.consumed(call, first);
  CHECK(side.out().find("stream=header") != std::string::npos);
  CHECK(call.take_chunk().stream == StreamName::header);
  CHECK(call.take_chunk().stream == StreamName::out);
  CHECK_FALSE(call.has_chunk());

  EngineSide slave(EngineSide::slave());
  const auto service = slave.service({{"_ask", "1"}, {"_command", "execute"}, {"op", "o"}});
  slave.engine.send_output(*service, StreamName::header, filled(3), std::nullopt);
  CHECK(slave.out() == "_command=data data=xxx op=o stream=header\n");
  CHECK(service->header.room() < service->out.room());
}

// What `zstd -1 --no-check` makes of 100 times "a".
const Bytes frame_of_100_a = from_hex("28b52ffd2064450000 10616101003f012c");

TEST_CASE("compressed output is restored before the caller reads it, and costs the credit of what it becomes") {
  if (!has_compression()) return;
  EngineSide side(EngineSide::master());
  side.engine.use_compression();
  OpenCall& call = side.call("execute");
  side.out();
  CHECK(side.feed({{"_command", "data"}, {"data", frame_of_100_a}, {"op", "1"}, {"stream", "out"}, {"zstd", "100"}}) ==
        "");
  CHECK(call.streams->out.window().granted() == stream_window - 100);
  CHECK(side.feed({{"_command", "data"}, {"data", "plain"}, {"op", "1"}, {"stream", "out"}}) == "");
  CHECK(call.take_chunk().bytes() == Bytes(100, 'a'));
  CHECK(call.take_chunk().bytes() == "plain");
}

TEST_CASE("compressed input is restored, and its sender pays for what it becomes") {
  if (!has_compression()) return;
  EngineSide master(EngineSide::master());
  EngineSide slave(EngineSide::slave());
  for (EngineSide* const side : {&master, &slave}) side->engine.use_compression();
  OpenCall& call = master.call("send");
  Block block;
  std::memset(block.payload().data(), 'x', 50'000);
  master.engine.send_input(call, BoxData::compressed_if_smaller(std::move(block), 50'000));
  CHECK(call.streams->in.room() == stream_window - 50'000);
  const Bytes sent = master.take_bytes();
  CHECK(sent.size() < 400);
  REQUIRE(slave.feed(sent) == "");
  const auto service = slave.services.back();
  CHECK(service->in.take().bytes() == Bytes(50'000, 'x'));
}

TEST_CASE("compressed data that was not agreed on, or is not what it says, ends the connection") {
  if (!has_compression()) return;
  for (const bool is_agreed : {false, true}) {
    for (const BytesView size : {"100", "99", "101", "0", "", "x", "-1", "65536", "18446744073709551616"}) {
      if (is_agreed && size == "100") continue;
      CAPTURE(size);
      EngineSide master(EngineSide::master());
      EngineSide slave(EngineSide::slave());
      if (is_agreed) master.engine.use_compression();
      if (is_agreed) slave.engine.use_compression();
      master.call("execute");
      slave.service({{"_ask", "1"}, {"_command", "send"}, {"op", "1"}});
      const auto box = [&](BytesView stream) {
        return encode(Box{{"_command", "data"},
                          {"data", frame_of_100_a},
                          {"op", "1"},
                          {"stream", Bytes(stream)},
                          {"zstd", Bytes(size)}});
      };
      const char* const why = is_agreed ? "does not become what it says" : "was not agreed on";
      CHECK(master.feed(box("out")).find(why) != std::string::npos);
      CHECK(slave.feed(box("in")).find(why) != std::string::npos);
    }
  }
}

TEST_CASE("compressed data beyond the credit ends the connection, however small it is on the wire") {
  if (!has_compression()) return;
  EngineSide side(EngineSide::master());
  side.engine.use_compression();
  side.call("execute");
  std::string why;
  std::size_t boxes = 0;
  for (; why.empty() && boxes < 1000; ++boxes) {
    why = side.feed({{"_command", "data"}, {"data", frame_of_100_a}, {"op", "1"}, {"stream", "out"}, {"zstd", "100"}});
  }
  CHECK(why.find("more output than was granted") != std::string::npos);
  CHECK(boxes == stream_window / 100 + 1);
}

TEST_CASE("what comes compressed for a caller that has left is granted again") {
  if (!has_compression()) return;
  EngineSide side(EngineSide::master());
  side.engine.use_compression();
  OpenCall& call = side.call("execute");
  side.engine.leave(call);
  side.out();
  std::string said;
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(
        side.feed({{"_command", "data"}, {"data", frame_of_100_a}, {"op", "1"}, {"stream", "out"}, {"zstd", "100"}}) ==
        "");
    said += side.out();
  }
  CHECK(said.find("_command=credit bytes=") != std::string::npos);
}

TEST_CASE("large chunks stay where they were read and keep it, small ones are copied") {
  EngineSide side(EngineSide::master());
  OpenCall& fetch = side.call("fetch");
  const Bytes large(48 * 1024, 'l');
  const Bytes bytes = encode(Box{{"_command", "data"}, {"data", large}, {"op", "1"}, {"stream", "out"}}) +
                      encode(Box{{"_command", "data"}, {"data", "small"}, {"op", "1"}, {"stream", "header"}}) +
                      encode(Box{{"_command", "data"}, {"data", large}, {"op", "1"}, {"stream", "err"}});
  ReadBuffer buffer;
  const std::span<char> room = buffer.room();
  const BytesView lent(room.data(), bytes.copy(room.data(), room.size()));
  CHECK(side.feed(lent.substr(0, lent.size() - 5), buffer.memory()) == "");
  buffer.fill(lent.size() - 5);
  CHECK_FALSE(buffer.memory().is_only());

  // The box that is cut is moved to the front of the next read, and then lies there as a whole.
  const std::span<char> next = buffer.room();
  const std::size_t again = side.session.take_unfinished(next);
  CHECK(again > large.size());
  bytes.copy(next.data() + again, 5, bytes.size() - 5);
  side.session.receive({next.data(), again + 5}, {}, again);
  CHECK(side.session.received().bytes == bytes.size());
  const BoxView* const box = side.session.next();
  REQUIRE(box != nullptr);
  REQUIRE(side.engine.receive(*box, buffer.memory()));

  {
    CHECK(fetch.take_chunk().owned == "small");
    const Chunk cut = fetch.take_chunk();
    CHECK(cut.stream == StreamName::err);
    CHECK((cut.bytes() == large));
    CHECK(cut.bytes().data() > next.data());
    CHECK(cut.bytes().data() < next.data() + next.size());
    REQUIRE(fetch.has_chunk());
    const Chunk first = fetch.take_chunk();
    CHECK((first.bytes() == large));
    CHECK(first.bytes().data() > lent.data());
    CHECK(first.bytes().data() < lent.data() + lent.size());
  }
  CHECK(buffer.memory().is_only());
}

TEST_CASE("an unfinished box is taken out only after a large read") {
  EngineSide side(EngineSide::master());
  side.call("fetch");
  const Bytes bytes = encode(Box{{"_command", "data"}, {"data", Bytes(40000, 'l')}, {"op", "1"}, {"stream", "out"}});
  ReadBuffer buffer;
  CHECK(side.feed(BytesView(bytes).substr(0, 20000)) == "");
  CHECK(side.feed(BytesView(bytes).substr(20000, 10)) == "");
  CHECK(side.session.take_unfinished(buffer.room()) == 0);
  CHECK(side.feed(BytesView(bytes).substr(20010)) == "");
}

TEST_CASE("credit for used output is sent in halves of a window, for the right stream, ahead of data") {
  EngineSide side(EngineSide::master());
  OpenCall& call = side.call("execute");
  side.out();
  side.engine.send_input(call, filled(10));
  for (int i = 0; i < 2; ++i) {
    REQUIRE(side.feed({{"_command", "data"}, {"data", Bytes(20'000, 'x')}, {"op", "1"}, {"stream", "err"}}) == "");
  }
  side.engine.consumed(call, call.take_chunk());
  side.engine.consumed(call, call.take_chunk());
  CHECK(side.out() == "_command=credit bytes=236608 op=1 stream=err\n_command=data data=xxxxxxxxxx op=1 stream=in\n");
}

TEST_CASE("input takes credit, and more comes from the other side") {
  EngineSide side(EngineSide::master());
  OpenCall& call = side.call("send");
  side.out();
  side.engine.send_input(call, filled(60'000));
  CHECK(call.streams->in.room() == stream_window - 60'000);
  CHECK(side.feed({{"_command", "credit"}, {"bytes", "60000"}, {"op", "1"}, {"stream", "in"}}) == "");
  CHECK(side.changed == std::vector<std::uint64_t>{1});
  CHECK(call.streams->in.room() == stream_window);
  side.engine.end_input(call);
  CHECK(side.out() == "_command=data data=<60000> op=1 stream=in\n_command=end op=1 stream=in\n");
}

// --- callers who leave

TEST_CASE("a call left is cancelled, its chunks are credited back, and the answer settles it quietly") {
  EngineSide side(EngineSide::master());
  OpenCall& call = side.call("execute");
  side.out();
  REQUIRE(side.feed({{"_command", "data"}, {"data", Bytes(40'000, 'x')}, {"op", "1"}, {"stream", "out"}}) == "");
  side.changed.clear();
  side.engine.leave(call);
  CHECK(side.out() == "_command=cancel op=1\n_command=credit bytes=40000 op=1 stream=out\n");
  CHECK(side.engine.abandoned_calls() == 1);

  REQUIRE(side.feed({{"_command", "data"}, {"data", Bytes(50'000, 'x')}, {"op", "1"}, {"stream", "out"}}) == "");
  CHECK(side.out() == "_command=credit bytes=50000 op=1 stream=out\n");
  CHECK(side.feed({{"_error", "1"}, {"_error_code", "CANCELLED"}, {"_error_description", ""}}) == "");
  CHECK(side.changed.empty());
  CHECK(side.engine.abandoned_calls() == 0);
  CHECK(side.engine.open_calls() == 0);
  CHECK(side.feed({{"_command", "data"}, {"data", "late"}, {"op", "1"}, {"stream", "out"}}) != "");  // the id is dead
}

TEST_CASE("a plain call left is not cancelled, and its answer settles it") {
  EngineSide side(EngineSide::master());
  OpenCall& call = side.call("stat", false);
  side.out();
  side.engine.leave(call);
  CHECK(side.out() == "");
  CHECK(side.feed({{"_answer", "1"}}) == "");
  CHECK(side.engine.open_calls() == 0);
}

TEST_CASE("a stream that ignores cancel goes on within its credit, and never stops for the lack of it") {
  EngineSide side(EngineSide::master());
  OpenCall& call = side.call("execute");
  side.engine.leave(call);
  side.out();
  SendCredit sender;
  const Bytes data = encode(Box{{"_command", "data"}, {"data", Bytes(16'000, 'x')}, {"op", "1"}, {"stream", "out"}});
  for (int i = 0; i < 200; ++i) {
    REQUIRE(sender.room() >= 16'000);
    sender.spend(16'000);
    REQUIRE(side.feed(data) == "");
    const Bytes grants = side.take_bytes();
    BoxDecoder boxes;
    boxes.feed(grants);
    while (boxes.next()) REQUIRE(sender.add(*parse_number(*boxes.box().get("bytes"))));
  }
}

TEST_CASE("at 1,024 calls left no new ones are made, and liveness goes on") {
  EngineSide side(EngineSide::master());
  for (int i = 0; i < 1024; ++i) side.engine.leave(side.call("sleep"));
  side.out();
  const auto refused = side.engine.call("stat", {}, false, &side);
  REQUIRE_FALSE(refused);
  CHECK(refused.failure().code == Errc::busy);
  CHECK_FALSE(side.session.has_output());
  // A newcomer of the same name is let in if a ping stays without an answer: so that is never refused.
  CHECK(side.engine.call("ping", {}, false, &side).ok());
  CHECK(side.out() == "_ask=401 _command=ping\n");
  side.engine.ping();
  CHECK(side.out() == "_ask=402 _command=ping\n");
  REQUIRE(side.feed({{"_answer", "400"}}) == "");
  CHECK(side.engine.call("stat", {}, false, &side).ok());
}

TEST_CASE("pings that are left by their callers have a bound too") {
  EngineSide side(EngineSide::master());
  int left = 0;
  for (; left < 10'000; ++left) {
    auto call = side.engine.call("ping", {}, false, &side);
    if (!call) {
      CHECK(call.failure().code == Errc::busy);
      break;
    }
    side.engine.leave(**call);
  }
  CHECK(left == 2048);
}

TEST_CASE("a side that sends without reading the credit that it spends is cut off") {
  Engine::Options options = EngineSide::master();
  options.max_unsent = 1000;
  options.max_unread_credit = 1000;
  EngineSide side(options);
  OpenCall& call = side.call("flood");
  const Bytes op = make_tag(call.id);
  const Bytes data = encode(Box{{"_command", "data"}, {"data", Bytes(30'000, 'x')}, {"op", op}, {"stream", "out"}});
  std::string breach;
  int boxes = 0;
  for (; boxes < 20'000 && breach.empty(); ++boxes) {
    breach = side.feed(data);
    while (call.has_chunk()) side.engine.consumed(call, call.take_chunk());
  }
  CHECK(breach.find("does not read") != std::string::npos);
  CHECK(side.session.control_bytes() < 2100);
}

TEST_CASE("a caller that leaves takes back what its streams were lent, with the answer") {
  EngineSide side(EngineSide::master());
  const auto keep_up = [&](OpenCall& call) {  // until its window is as large as it gets
    const Bytes op = make_tag(call.id);
    std::uint64_t last = 0;
    for (int i = 0; i < 200; ++i) {
      REQUIRE(side.feed({{"_command", "data"}, {"data", Bytes(32'768, 'x')}, {"op", op}, {"stream", "out"}}) == "");
      side.engine.consumed(call, call.take_chunk());
      const Bytes grants = side.take_bytes();
      BoxDecoder boxes;
      boxes.feed(grants);
      while (boxes.next()) {
        if (boxes.box().get("_command") == "credit") last = *parse_number(*boxes.box().get("bytes"));
      }
    }
    return last;
  };
  const std::uint64_t half = stream_window_max / 2;
  OpenCall& first = side.call("fetch");
  CHECK(keep_up(first) == half);
  OpenCall& second = side.call("fetch");
  CHECK(keep_up(second) == half);
  OpenCall& third = side.call("fetch");
  CHECK(keep_up(third) < half);  // the pool is lent
  side.engine.leave(first);
  OpenCall& fourth = side.call("fetch");
  CHECK(keep_up(fourth) < half);  // still: what the first was lent may be on its way
  REQUIRE(side.feed({{"_answer", "1"}}) == "");
  OpenCall& fifth = side.call("fetch");
  CHECK(keep_up(fifth) == half);
}

// --- what the master accepts: the table of docs/protocol.md section 10, every box for every state of its operation

TEST_CASE("the master accepts what section 10 lists and nothing else") {
  struct Row {
    Box box;             // "?" in a value stands for the tag
    BytesView accepted;  // tags for which it is fine, of all_states
  };
  const std::vector<Row> rows{
      {{{"_answer", "?"}}, "2 3 5"},
      {{{"_error", "?"}, {"_error_code", "FAILED"}, {"_error_description", ""}}, "2 3 5"},
      {{{"_error", "?"}, {"_error_code", "FAILED"}}, ""},
      {{{"_error", "?"}, {"_error_description", ""}}, ""},
      {{{"_command", "data"}, {"data", "x"}, {"op", "?"}, {"stream", "out"}}, "2 5"},
      {{{"_command", "data"}, {"data", "x"}, {"op", "?"}, {"stream", "err"}}, "2 5"},
      {{{"_command", "data"}, {"data", "x"}, {"op", "?"}, {"stream", "in"}}, ""},
      {{{"_command", "data"}, {"data", "x"}, {"op", "?"}, {"stream", "other"}}, ""},
      {{{"_command", "data"}, {"data", "x"}, {"op", "?"}}, ""},
      {{{"_command", "data"}, {"data", ""}, {"op", "?"}, {"stream", "out"}}, ""},
      {{{"_command", "data"}, {"op", "?"}, {"stream", "out"}}, ""},
      {{{"_command", "data"}, {"data", "x"}, {"stream", "out"}}, ""},
      {{{"_command", "end"}, {"op", "?"}, {"stream", "in"}}, ""},
      {{{"_command", "end"}, {"op", "?"}, {"stream", "out"}}, ""},
      {{{"_command", "credit"}, {"bytes", "1"}, {"op", "?"}, {"stream", "in"}}, "1 2 4 5"},
      {{{"_command", "credit"}, {"bytes", "1"}, {"op", "?"}, {"stream", "out"}}, ""},
      {{{"_command", "credit"}, {"bytes", "1"}, {"op", "?"}, {"stream", "err"}}, ""},
      {{{"_command", "credit"}, {"bytes", "-1"}, {"op", "?"}, {"stream", "in"}}, ""},
      {{{"_command", "credit"}, {"op", "?"}, {"stream", "in"}}, ""},
      {{{"_command", "credit"}, {"bytes", "1"}, {"stream", "in"}}, ""},
      {{{"_command", "cancel"}, {"op", "?"}}, ""},
      {{{"_command", "ping"}}, ""},
      {{{"_command", "ping"}, {"op", "?"}}, ""},
      {{{"_command", "anything"}, {"op", "?"}}, ""},
      {{{"anything", "?"}}, ""},
      {{{"_ask", "?"}}, ""},
      {{{"_ask", "?"}, {"_command", "ping"}}, "1 2 3 4 5 99"},  // its tags are its own
      {{{"_ask", "?"}, {"_command", "hello"}}, ""},
      {{{"_ask", "?"}, {"_command", "prove"}}, ""},
      {{{"_ask", "?"}, {"_command", "execute"}, {"args", "x"}}, ""},
      {{{"_ask", "?"}, {"_command", "stat"}, {"path", "/"}}, ""},
      {{{"_ask", "?"}, {"_command", "data"}, {"data", "x"}, {"op", "2"}, {"stream", "out"}}, ""},
      {{{"_ask", "?"}, {"_command", "goodbye"}}, ""},
      {{{"_ask", "?"}, {"_command", ""}}, ""},
      {{{"_command", "goodbye"}, {"reason", "?"}}, "1 2 3 4 5 99"},
      {{{"_command", "goodbye"}}, "1 2 3 4 5 99"},
      {{{"_command", "draining"}, {"reason", "?"}, {"within", "5000"}}, "1 2 3 4 5 99"},
      {{{"_command", "draining"}, {"within", "soon"}}, "1 2 3 4 5 99"},
      {{{"_command", "draining"}, {"op", "?"}}, "1 2 3 4 5 99"},
      {{{"_ask", "?"}, {"_command", "draining"}}, ""},
  };
  for (const Row& row : rows) {
    for (const BytesView state : all_states) {
      EngineSide side(EngineSide::master());
      make_all_states(side);
      Box sent = row.box;
      for (const auto& [key, value] : row.box) {
        if (value == "?") sent.set(key, Bytes(state));
      }
      const Bytes bytes = encode(sent);
      const std::string accepted = " " + Bytes(row.accepted) + " ";
      const bool is_expected = accepted.find(" " + Bytes(state) + " ") != std::string::npos;
      BoxDecoder shown;
      shown.feed(bytes);
      shown.next();
      const std::string text = show(shown.box());
      CAPTURE(text);
      const std::string breach = side.feed(bytes);
      CAPTURE(breach);
      CHECK(breach.empty() == is_expected);
      CHECK(side.services.empty());
    }
  }
}

TEST_CASE("an answer's tag in another spelling is the tag of no call") {
  for (const BytesView tag : {"01", "0", "", "1 ", "A", "11111111111111111111"}) {
    EngineSide side(EngineSide::master());
    for (int i = 0; i < 10; ++i) side.call("x");
    CHECK(side.feed({{"_answer", tag}}) != "");
  }
}

TEST_CASE("a second answer ends the connection, also while its caller has not seen the first") {
  EngineSide side(EngineSide::master());
  OpenCall& call = side.call("stat");
  CHECK(side.feed({{"_answer", "1"}}) == "");
  CHECK(side.feed({{"_answer", "1"}}) != "");
  CHECK(std::get<Box>(call.outcome) == Box{});
}

TEST_CASE("data after the answer ends the connection") {
  EngineSide side(EngineSide::master());
  side.call("execute");
  CHECK(side.feed({{"_answer", "1"}}) == "");
  CHECK(side.feed({{"_command", "data"}, {"data", "x"}, {"op", "1"}, {"stream", "out"}}) != "");
}

TEST_CASE("more output than was granted ends the connection, in large boxes and in small ones") {
  for (const std::size_t size : {std::size_t{1}, std::size_t{64}, std::size_t{8192}}) {
    for (const bool is_left : {false, true}) {
      EngineSide side(EngineSide::master());
      OpenCall& call = side.call("execute");
      if (is_left) side.engine.leave(call);
      const Bytes data = encode(Box{{"_command", "data"}, {"data", Bytes(size, 'x')}, {"op", "1"}, {"stream", "out"}});
      const std::size_t boxes = stream_window / chunk_cost(size);
      const std::size_t most = is_left ? 3 * boxes : boxes;  // what is dropped is granted again
      for (std::size_t i = 0; i < most; ++i) REQUIRE(side.feed(data) == "");
      if (!is_left) CHECK(side.feed(data) != "");
    }
  }
}

TEST_CASE("more credit than a stream can have ends the connection") {
  EngineSide side(EngineSide::master());
  side.call("send");
  const std::uint64_t most = stream_window_max - stream_window;
  CHECK(side.feed({{"_command", "credit"}, {"bytes", std::to_string(most)}, {"op", "1"}, {"stream", "in"}}) == "");
  CHECK(side.feed({{"_command", "credit"}, {"bytes", "1"}, {"op", "1"}, {"stream", "in"}}) != "");
}

TEST_CASE("a caller that reads no answers can make a slave queue so much and no more") {
  Engine::Options options = EngineSide::slave();
  options.max_unread = 10'000;
  for (const char* command : {"ping", "no-such-operation"}) {
    CAPTURE(command);
    EngineSide side(options);
    std::size_t calls = 0;
    std::string breach;
    while (breach.empty() && calls < 10'000) {
      breach = side.feed({{"_ask", std::to_string(++calls)}, {"_command", command}});
      for (const auto& service : std::exchange(side.services, {})) {
        side.engine.fail(*service, {Errc::unsupported, "no such operation", 0});
      }
    }
    CHECK(breach.find("does not read") != std::string::npos);
    CHECK(side.session.control_bytes() + side.session.data_bytes() < 11'000);
    CHECK(calls > 100);
  }
}

TEST_CASE("a flood of pings that nobody reads the answers of ends the connection") {
  EngineSide side(EngineSide::master());
  const Bytes ping = encode(Box{{"_ask", "p"}, {"_command", "ping"}});
  int answered = 0;
  while (side.feed(ping) == "") {
    ++answered;
    REQUIRE(answered <= 64);
  }
  CHECK(answered == 64);

  EngineSide patient(EngineSide::master());  // any number, where they are taken
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(patient.feed(ping) == "");
    REQUIRE(patient.out() == "_answer=p\n");
  }
}

TEST_CASE("calls wait while too much is queued that the other side does not read, and go out in their order") {
  EngineSide side(EngineSide::master());
  const Box large{{"a", Bytes(60000, 'x')}, {"b", Bytes(60000, 'y')}};
  std::vector<OpenCall*> calls;
  for (int i = 0; i < 100; ++i) calls.push_back(&side.call("own", true, large));
  CHECK(side.session.control_bytes() < 5 * 1024 * 1024);
  CHECK(calls.front()->is_sent());
  CHECK_FALSE(calls.back()->is_sent());
  CHECK(side.engine.call("ping", {}, false, &side).ok());  // which never waits

  side.engine.leave(*calls[99]);  // nothing of it is sent, so nothing is left of it
  CHECK(side.engine.abandoned_calls() == 0);
  side.engine.end_input(*calls[98]);
  side.changed.clear();
  std::string expected;
  for (const char* const text = "_ask="; OpenCall* const call : calls) {
    if (call == calls[99]) continue;
    expected += text + make_tag(call->id) + '\n';
  }
  const std::string out = side.out();
  std::string asked;
  std::size_t pings = 0;
  for (std::size_t at = 0; (at = out.find("_ask=", at)) != std::string::npos; ++at) {
    const std::string tag = out.substr(at, out.find(' ', at) - at);
    if (out.compare(at + tag.size(), 14, " _command=ping") == 0) {
      ++pings;
    } else {
      asked += tag + '\n';
    }
  }
  CHECK(asked == expected);
  CHECK(pings == 1);
  CHECK(out.ends_with("_command=end op=" + make_tag(calls[98]->id) + " stream=in\n"));
  CHECK(side.changed.size() == 99 - 35);  // those that waited
  REQUIRE(side.feed({{"_answer", make_tag(calls[98]->id)}}) == "");
  CHECK(calls[98]->state == OpenCall::State::settled);
}

TEST_CASE("what comes for a call that was not sent yet is a breach") {
  for (const bool is_answer : {true, false}) {
    EngineSide side(EngineSide::master());
    const Box large{{"a", Bytes(60000, 'x')}, {"b", Bytes(60000, 'y')}};
    OpenCall* call = &side.call("own", true, large);
    while (call->is_sent()) call = &side.call("own", true, large);
    const Bytes tag = make_tag(call->id);
    CHECK(side.feed(is_answer
                        ? encode(Box{{"_answer", tag}})
                        : encode(Box{{"_command", "data"}, {"data", "x"}, {"op", tag}, {"stream", "out"}})) != "");
    side.engine.end({Errc::connection_lost, "cut", 0});
    CHECK(call->state == OpenCall::State::settled);
  }
}

TEST_CASE("a result with a key that the wire keeps for itself fails its own call, not the connection") {
  for (const char* key : {"_answer", "_x", "a~0001", "a~b"}) {
    CAPTURE(key);
    Bytes out;
    Box results;
    results.set(key, "1");
    const auto encoded = encode_answer(out, "1", results);
    REQUIRE_FALSE(encoded.ok());
    CHECK(encoded.failure().code == Errc::invalid_argument);
    CHECK(out.empty());
  }
}

TEST_CASE("after goodbye nothing counts, and its reason is kept within 256 bytes") {
  EngineSide side(EngineSide::master());
  OpenCall& call = side.call("stat");
  CHECK(side.feed({{"_command", "goodbye"}, {"reason", Bytes(300, 'r')}, {"retry", "7"}}) == "");
  REQUIRE(side.session.said_goodbye());
  CHECK(side.session.said_goodbye()->reason == Bytes(256, 'r'));
  CHECK(side.session.said_goodbye()->retry == 7);
  CHECK(side.feed({{"_answer", "1"}}) == "");
  CHECK(call.state == OpenCall::State::open);
  CHECK(side.feed({{"_ask", "1"}, {"_command", "execute"}}) == "");

  EngineSide other(EngineSide::master());
  CHECK(other.feed({{"_command", "goodbye"}, {"retry", "soon"}}) == "");
  REQUIRE(other.session.said_goodbye());
  CHECK(other.session.said_goodbye()->reason == "");
  CHECK_FALSE(other.session.said_goodbye()->retry.has_value());
}

TEST_CASE("a slave announces that it will end, and goes on as before") {
  EngineSide side(EngineSide::master());
  OpenCall& call = side.call("stat");
  CHECK(side.feed({{"_command", "draining"}, {"reason", Bytes(300, 'r')}, {"within", "5000"}}) == "");
  REQUIRE(side.session.draining());
  CHECK(side.session.draining()->reason == Bytes(256, 'r'));
  CHECK(side.session.draining()->within == std::chrono::seconds(5));
  CHECK(side.feed({{"_command", "draining"}, {"reason", "again"}}) == "");  // the first one counts
  CHECK(side.session.draining()->reason == Bytes(256, 'r'));
  CHECK(side.feed({{"_answer", "1"}}) == "");
  CHECK(call.state == OpenCall::State::settled);
  for (const char* within : {"soon", "-1", "1000000000001", ""}) {
    EngineSide other(EngineSide::master());
    CHECK(other.feed({{"_command", "draining"}, {"within", within}}) == "");
    REQUIRE(other.session.draining());
    CHECK(other.session.draining()->within.count() == 0);
  }
}

TEST_CASE("a master that says it is draining is not heard: only slaves are let go") {
  EngineSide side(EngineSide::slave());
  CHECK(side.feed({{"_command", "draining"}, {"reason", "x"}}) == "");
  CHECK_FALSE(side.session.draining());
}

TEST_CASE("goodbye is the last that is sent, in place of data that waits") {
  EngineSide side(EngineSide::master());
  OpenCall& call = side.call("send");
  side.out();
  side.engine.send_input(call, filled(3));
  CHECK(side.session.close({Errc::connection_lost, "restart", 0}, 2000));
  side.engine.send_input(call, filled(3));
  side.engine.end_input(call);
  CHECK(side.out() == "_command=goodbye reason=restart retry=2000\n");
}

TEST_CASE("keys that a receiver does not know are ignored") {
  EngineSide side(EngineSide::master());
  OpenCall& call = side.call("execute");
  CHECK(side.feed({{"_command", "data"}, {"data", "x"}, {"new", "1"}, {"op", "1"}, {"stream", "out"}}) == "");
  CHECK(side.feed({{"_answer", "1"}, {"_new", "1"}, {"exit", "0"}}) == "");
  CHECK(std::get<Box>(call.outcome) == Box{{"exit", "0"}});
}

// --- serving

TEST_CASE("a call comes with its arguments, and its answer goes out") {
  EngineSide side(EngineSide::slave());
  const auto service = side.service({{"_ask", "tag"}, {"_command", "stat"}, {"path", "/"}});
  CHECK(service->command == "stat");
  CHECK(service->arguments == Box{{"path", "/"}});
  CHECK(side.engine.open_services() == 1);
  side.engine.answer(*service, {{"type", "directory"}});
  CHECK(side.out() == "_answer=tag type=directory\n");
  CHECK(side.engine.open_services() == 0);
  side.engine.answer(*service, {});
  side.engine.fail(*service, {Errc::busy, "", 0});
  CHECK(side.out() == "");  // the first counts
}

TEST_CASE("a call whose arguments are too much beside those of others is busy, until one is over") {
  Engine::Options options = EngineSide::slave();
  options.max_arguments = 100;
  EngineSide side(options);
  const Bytes much(60, 'x');
  const auto first = side.service({{"_ask", "1"}, {"_command", "own"}, {"a", much}});
  REQUIRE(side.feed({{"_ask", "2"}, {"_command", "own"}, {"a", much}}) == "");
  CHECK(side.out().find("_error_code=BUSY") != std::string::npos);
  side.engine.answer(*first, {});
  CHECK(side.service({{"_ask", "3"}, {"_command", "own"}, {"a", much}})->arguments.get("a") == much);
}

TEST_CASE("the op is no argument, and long arguments are joined") {
  EngineSide side(EngineSide::slave());
  const Bytes full(65535, 'a');
  const auto service =
      side.service({{"_ask", "1"}, {"_command", "execute"}, {"args", full}, {"args~0001", "b"}, {"op", "o"}});
  CHECK(service->op == "o");
  CHECK(service->arguments == Box{{"args", full + "b"}});

  CHECK(side.feed({{"_ask", "2"}, {"_command", "x"}, {"op", "p"}, {"v~0001", "b"}}) == "");
  CHECK(side.services.size() == 1);
  const std::string refusal = side.out();
  CHECK(refusal.starts_with("_error=2 _error_code=BAD_ARGUMENT"));
  CHECK(side.engine.open_services() == 1);
}

TEST_CASE("an answer to an operation with streams goes behind its data, one without ahead of it") {
  EngineSide side(EngineSide::slave());
  const auto fetch = side.service({{"_ask", "1"}, {"_command", "fetch"}, {"op", "o"}});
  const auto stat = side.service({{"_ask", "2"}, {"_command", "stat"}});
  side.engine.send_output(*fetch, StreamName::out, filled(3), 9);
  side.engine.answer(*fetch, {});
  side.engine.answer(*stat, {});
  CHECK(side.out() == "_answer=2\n_command=data data=xxx op=o stream=out total=9\n_answer=1\n");
}

TEST_CASE("an answer that cannot be encoded becomes an error") {
  EngineSide side(EngineSide::slave());
  const auto service = side.service({{"_ask", "1"}, {"_command", "x"}});
  side.engine.answer(*service, {{"v", Bytes(9'000'000, 'x')}});
  CHECK(side.out().starts_with("_error=1 _error_code=TOO_LARGE"));
}

TEST_CASE("a tag or an op that is in use ends the connection, and one that is over may come again") {
  EngineSide side(EngineSide::slave());
  const auto service = side.service({{"_ask", "1"}, {"_command", "x"}, {"op", "o"}});
  {
    EngineSide same(EngineSide::slave());
    REQUIRE(same.feed({{"_ask", "1"}, {"_command", "x"}, {"op", "o"}}) == "");
    CHECK(same.feed({{"_ask", "1"}, {"_command", "x"}, {"op", "p"}}) != "");
  }
  {
    EngineSide same(EngineSide::slave());
    REQUIRE(same.feed({{"_ask", "1"}, {"_command", "x"}, {"op", "o"}}) == "");
    CHECK(same.feed({{"_ask", "2"}, {"_command", "x"}, {"op", "o"}}) != "");
  }
  side.engine.answer(*service, {});
  CHECK(side.feed({{"_ask", "1"}, {"_command", "x"}, {"op", "o"}}) == "");
}

TEST_CASE("tags and ops have 1 to 16 bytes") {
  for (const std::size_t size : {std::size_t{0}, std::size_t{17}}) {
    EngineSide tag(EngineSide::slave());
    CHECK(tag.feed({{"_ask", Bytes(size, 't')}, {"_command", "x"}}) != "");
    EngineSide op(EngineSide::slave());
    CHECK(op.feed({{"_ask", "1"}, {"_command", "x"}, {"op", Bytes(size, 'o')}}) != "");
  }
  EngineSide side(EngineSide::slave());
  CHECK(side.feed({{"_ask", Bytes(16, '\0')}, {"_command", "x"}, {"op", Bytes(16, '\xff')}}) == "");
}

TEST_CASE("beyond 1,024 open operations calls are answered BUSY, until one is over") {
  EngineSide side(EngineSide::slave());
  for (int i = 0; i < 1024; ++i) REQUIRE(side.feed({{"_ask", std::to_string(i)}, {"_command", "x"}}) == "");
  CHECK(side.out() == "");
  CHECK(side.feed({{"_ask", "more"}, {"_command", "x"}, {"op", "o"}}) == "");
  CHECK(side.out().starts_with("_error=more _error_code=BUSY"));
  CHECK(side.services.size() == 1024);
  side.engine.answer(*side.services.front(), {});
  CHECK(side.feed({{"_ask", "more"}, {"_command", "x"}, {"op", "o"}}) == "");
  CHECK(side.services.size() == 1025);
}

TEST_CASE("input, its end, credit and cancel find their operation") {
  EngineSide side(EngineSide::slave());
  const auto service = side.service({{"_ask", "1"}, {"_command", "x"}, {"op", "o"}});
  CHECK(side.feed({{"_command", "data"}, {"data", "hi"}, {"op", "o"}, {"stream", "in"}}) == "");
  CHECK(side.feed({{"_command", "end"}, {"op", "o"}, {"stream", "in"}}) == "");
  CHECK(side.feed({{"_command", "credit"}, {"bytes", "100"}, {"op", "o"}, {"stream", "err"}}) == "");
  CHECK(side.feed({{"_command", "cancel"}, {"op", "o"}}) == "");
  CHECK(side.feed({{"_command", "cancel"}, {"op", "o"}}) == "");  // told once
  CHECK(side.services_changed == std::vector<const OpenService*>(4, service.get()));
  CHECK(service->in.take().bytes() == "hi");
  CHECK(service->in.take().last);
  CHECK(service->err.room() == stream_window + 100);
  CHECK(service->out.room() == stream_window);
  CHECK(service->cancelled);
}

TEST_CASE("used input is granted again, until the operation is over") {
  EngineSide side(EngineSide::slave());
  const auto service = side.service({{"_ask", "1"}, {"_command", "send"}, {"op", "o"}});
  const auto data = [&] {
    REQUIRE(side.feed({{"_command", "data"}, {"data", Bytes(40'000, 'x')}, {"op", "o"}, {"stream", "in"}}) == "");
    return service->in.take();
  };
  side.engine.consumed(*service, data());
  CHECK(side.out() == "_command=credit bytes=236608 op=o stream=in\n");
  const Chunk held = data();
  side.engine.answer(*service, {});
  side.out();
  side.engine.consumed(*service, held);
  CHECK(side.out() == "");
}

TEST_CASE("what a slave accepts: stream boxes for what is over or unknown are ignored, and so are unknown ones") {
  const std::vector<Box> ignored{
      {{"_command", "data"}, {"data", "x"}, {"op", "gone"}, {"stream", "in"}},
      {{"_command", "data"}, {"data", "x"}, {"op", "gone"}, {"stream", "out"}},
      {{"_command", "end"}, {"op", "gone"}, {"stream", "in"}},
      {{"_command", "credit"}, {"bytes", "1"}, {"op", "gone"}, {"stream", "out"}},
      {{"_command", "credit"}, {"bytes", "1"}, {"op", "gone"}, {"stream", "err"}},
      {{"_command", "credit"}, {"bytes", "1"}, {"op", "gone"}, {"stream", "in"}},
      {{"_command", "cancel"}, {"op", "gone"}},
      {{"_command", "cancel"}},
      {{"_command", "anything"}},
      {{"_command", "ping"}},
  };
  for (const Box& one : ignored) {
    EngineSide side(EngineSide::slave());
    const auto over = side.service({{"_ask", "1"}, {"_command", "x"}, {"op", "gone"}});
    side.engine.answer(*over, {});
    side.out();
    CHECK(side.feed(encode(one)) == "");
    CHECK(side.out() == "");
  }
  const std::vector<Box> breaches{
      {{"_answer", "1"}},
      {{"_error", "1"}, {"_error_code", "FAILED"}, {"_error_description", ""}},
      {{"no", "command"}},
      {{"_command", "data"}, {"data", ""}, {"op", "o"}, {"stream", "in"}},
      {{"_command", "data"}, {"data", "x"}, {"op", "o"}, {"stream", "no"}},
      {{"_command", "credit"}, {"bytes", "99999999"}, {"op", "o"}, {"stream", "out"}},
      {{"_command", "credit"}, {"bytes", "x"}, {"op", "o"}, {"stream", "out"}},
  };
  for (const Box& one : breaches) {
    EngineSide side(EngineSide::slave());
    side.service({{"_ask", "1"}, {"_command", "x"}, {"op", "o"}});
    CHECK(side.feed(encode(one)) != "");
  }
}

TEST_CASE("more input than was granted, or after its end, ends the connection") {
  const Bytes data = encode(Box{{"_command", "data"}, {"data", Bytes(65535, 'x')}, {"op", "o"}, {"stream", "in"}});
  const Bytes end = encode(Box{{"_command", "end"}, {"op", "o"}, {"stream", "in"}});
  for (const Bytes& second : {data, end + end, end + data}) {
    EngineSide side(EngineSide::slave());
    side.service({{"_ask", "1"}, {"_command", "x"}, {"op", "o"}});
    REQUIRE(side.feed(data) == "");
    CHECK(side.feed(second) != "");
  }
}

TEST_CASE("either side answers a ping at once, ahead of data, whatever its tag") {
  for (const auto& options : {EngineSide::master(), EngineSide::slave()}) {
    EngineSide side(options);
    CHECK(side.feed({{"_ask", "any tag"}, {"_command", "ping"}}) == "");
    CHECK(side.feed({{"_ask", Bytes(17, 't')}, {"_command", "ping"}}) != "");
    CHECK(side.out() == "_answer=any tag\n");
    CHECK(side.services.empty());
  }
}

// --- the end

TEST_CASE("the end fails every open call once, cancels every service, and empties the queue") {
  EngineSide side(EngineSide::slave());
  OpenCall& open = side.call("open");
  OpenCall& settled = side.call("settled");
  REQUIRE(side.feed({{"_answer", "2"}, {"a", "b"}}) == "");
  side.engine.leave(side.call("left"));
  side.engine.ping();
  const auto service = side.service({{"_ask", "1"}, {"_command", "x"}, {"op", "o"}});
  side.changed.clear();

  side.session.end({Errc::connection_lost, "cut", 0});
  side.engine.end(*side.session.over());
  CHECK(side.changed == std::vector<std::uint64_t>{1});
  CHECK(std::get<Failure>(open.outcome).message == "cut");
  CHECK(std::get<Box>(settled.outcome) == Box{{"a", "b"}});
  CHECK(side.services_changed == std::vector<const OpenService*>{service.get()});
  CHECK(service->cancelled);
  CHECK_FALSE(side.session.has_output());
  CHECK(side.engine.open_services() == 0);
  CHECK(side.engine.abandoned_calls() == 0);
  CHECK(side.engine.open_calls() == 2);  // those that have a caller

  side.engine.end({Errc::connection_lost, "again", 0});
  CHECK(side.changed.size() == 1);
  side.engine.answer(*service, {});
  side.engine.send_output(*service, StreamName::out, filled(1), std::nullopt);
  side.engine.leave(open);
  side.engine.leave(settled);
  CHECK(side.engine.open_calls() == 0);
  CHECK_FALSE(side.session.has_output());
}

TEST_CASE("a ping of ours does not wait for the answer to the one before, and nobody hears of either") {
  EngineSide side(EngineSide::master());
  side.engine.ping();
  CHECK(side.out() == "_ask=1 _command=ping\n");
  side.engine.ping();
  CHECK(side.out() == "_ask=2 _command=ping\n");
  CHECK(side.feed({{"_answer", "1"}}) == "");
  CHECK(side.feed({{"_answer", "2"}}) == "");
  CHECK(side.engine.open_calls() == 0);
  CHECK(side.changed.empty());
}

TEST_CASE("pings of ours that are never answered do not fill the memory, and keep no call from being made") {
  EngineSide side(EngineSide::master());
  for (int i = 0; i < 2000; ++i) side.engine.ping();
  CHECK(side.engine.open_calls() == 1024);
  OpenCall& open = side.call("x");
  CHECK(open.is_sent());
  CHECK(side.feed({{"_answer", "1"}}) == "");
  side.engine.ping();
  side.engine.ping();
  CHECK(side.engine.open_calls() == 1025);
}

// --- anything

TEST_CASE("boxes at random, well-formed and not, end the connection or are taken, and never more") {
  const std::array<BytesView, 13> keys{"_answer", "_ask", "_command", "_error", "_error_code", "_error_description",
                                       "bytes",   "data", "log",      "op",     "stream",      "total",
                                       "v~0001"};
  const std::array<BytesView, 19> values{"log",
                                         "1",
                                         "2",
                                         "3",
                                         "99",
                                         "data",
                                         "end",
                                         "credit",
                                         "cancel",
                                         "ping",
                                         "in",
                                         "out",
                                         "err",
                                         "execute",
                                         "goodbye",
                                         "",
                                         "0",
                                         "01",
                                         "18446744073709551616"};
  std::size_t taken = 0;
  for (unsigned seed = 1; seed <= 3000; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    EngineSide side(seed % 2 == 0 ? EngineSide::master() : EngineSide::slave());
    make_all_states(side);
    for (int i = 0; i < 50; ++i) {
      Box sent;
      for (auto n = 1 + random() % 5; n > 0; --n) {
        sent.set(Bytes(keys[random() % keys.size()]), Bytes(values[random() % values.size()]));
      }
      if (!side.feed(encode(sent)).empty()) break;
      ++taken;
    }
    side.engine.end({Errc::connection_lost, "over", 0});
  }
  CHECK(taken > 100);
}
