// Two engines that keep the rules: however their bytes are cut and delayed and whatever their users do in which order,
// neither ever accuses the other, every call is answered once, and streams arrive as they were sent.
#include "fuzz/input.hpp"
#include "rpc/engine.hpp"
#include "rpc/message.hpp"
#include "session/session.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <utility>
#include <vector>

using namespace remsh;
using namespace remsh::rpc;

namespace {

/// The byte at a place of a stream.
char content(std::uint64_t op, StreamName stream, std::uint64_t at) {
  return static_cast<char>(op * 31 + static_cast<std::uint64_t>(stream) * 7 + at + (at >> 8U) * 3);
}

/// One direction of one stream, as it was sent or as it came.
struct Progress {
  std::uint64_t bytes = 0;

  /// The next `count` bytes, compressed if their number is even and that makes them smaller.
  BoxData next(std::uint64_t op, StreamName stream, std::size_t count) {
    Block block;
    for (char& c : block.payload().first(count)) c = content(op, stream, bytes++);
    return count % 2 == 0 ? BoxData::compressed_if_smaller(std::move(block), count)
                          : BoxData::plain(std::move(block), count);
  }
  void expect(std::uint64_t op, const Chunk& chunk) {
    for (const char c : chunk.bytes()) REMSH_EXPECT(c == content(op, chunk.stream, bytes++));
  }
};

/// What both sides know of one call; the truth that is not on the wire.
struct Story {
  std::array<Progress, stream_count> sent;
  std::array<Progress, stream_count> came;
  bool has_op = false;
  bool input_ended = false;  // by the caller
  bool input_read = false;   // to its end, by the server
  bool left = false;
  bool served = false;
  bool answered = false;
  Box results;
  bool failed = false;
  int outcomes = 0;
};

class End final : public Engine::Events {
 public:
  End(bool serves, std::map<std::uint64_t, Story>& truth)
      : stories(truth), settings(options(serves)), session(session_settings), engine(settings, session, *this) {
    engine.use_compression();
    session.attach(now);
  }

  static Engine::Options options(bool serves) {
    Engine::Options options;
    options.serves = serves;
    options.max_services = 8;
    return options;
  }

  void on_call_changed(OpenCall& open) override {
    if (open.state == OpenCall::State::settled) REMSH_EXPECT(++stories[open.id].outcomes == 1);
  }
  void on_service(std::shared_ptr<OpenService> service) override {
    stories[id_of(*service)].served = true;
    services.push_back(std::move(service));
  }
  void on_service_changed(OpenService&) override {}

  /// The caller's number of a call.
  static std::uint64_t id_of(const OpenService& service) { return parse_tag(service.tag).value(); }

  /// Moves up to `most` bytes out of the queue onto the wire.
  void write(std::size_t most) {
    if (!session.has_output()) return;
    std::array<std::string_view, 8> views;
    const std::size_t count = session.gather(views);
    std::size_t written = 0;
    for (std::size_t i = 0; i < count && written < most; ++i) {
      const auto part = views[i].substr(0, most - written);
      wire += part;
      written += part.size();
    }
    session.written(written, now);
    engine.send_waiting();
  }

  /// Takes up to `most` bytes from the other side's wire.
  void read(End& other, std::size_t most) {
    const std::span<char> room = buffer.room();
    const std::size_t again = session.take_unfinished(room);
    const std::size_t count = other.wire.copy(room.data() + again, std::min(most, room.size() - again));
    other.wire.erase(0, count);
    session.receive({room.data(), again + count}, now, again);
    while (const BoxView* const box = session.next()) REMSH_EXPECT(engine.receive(*box, buffer.memory()));
    buffer.fill(again + count);
    REMSH_EXPECT(!session.is_over());
  }

  /// The other side is never silent for long enough to be given up.
  void look(TimePoint at) {
    now = at;
    const auto pulse = session.look(now);
    REMSH_EXPECT(pulse != Session::Pulse::lost);
    if (pulse == Session::Pulse::ping_due) engine.ping();
  }

  std::map<std::uint64_t, Story>& stories;
  const Engine::Options settings;
  // That the fuzzer delays the other side is not its fault.
  const Session::Options session_settings{.keepalive = std::chrono::seconds(2), .patience = std::chrono::hours(10000)};
  Session session;
  Engine engine;
  TimePoint now{};
  Bytes wire;
  ReadBuffer buffer;
  std::vector<std::shared_ptr<OpenService>> services;
};

class Pair {
 public:
  explicit Pair(fuzz::Input& input) : input_(input), master_(false, stories_), slave_(true, stories_) {}

  void run() {
    while (!input_.empty()) act();
    finish();
  }

 private:
  std::size_t amount() { return input_.size(); }

  OpenCall* some_call() { return calls_.empty() ? nullptr : calls_[input_.below(calls_.size())]; }
  std::shared_ptr<OpenService> some_service() {
    auto& all = slave_.services;
    return all.empty() ? nullptr : all[input_.below(all.size())];
  }

  void act() {
    switch (input_.below(16)) {
      case 0: return call();
      case 1: return leave();
      case 2:
      case 3: return send_input();
      case 4: return end_input(some_call());
      case 5: return take_chunks(some_call(), 1 + input_.below(8));
      case 6: return read_input(some_service(), 1 + input_.below(8));
      case 7:
      case 8: return send_output();
      case 9: return answer();
      case 10: return master_.write(amount());
      case 11: return slave_.write(amount());
      case 12: return slave_.read(master_, amount());
      case 13:
      case 14: return deliver_to_master(amount(), some_call());
      case 15: {
        now_ += std::chrono::milliseconds(input_.below(256) * 8);
        master_.look(now_);
        slave_.look(now_);
        return;
      }
      default: return;
    }
  }

  /// A reader uses what came for it before anything else is read.
  void deliver_to_master(std::size_t most, OpenCall* reader) {
    master_.read(slave_, most);
    if (reader != nullptr) take_chunks(reader, SIZE_MAX);
  }

  void call() {
    const bool has_op = input_.flag();
    Box arguments;
    if (input_.flag()) arguments.set("long", Bytes(amount(), 'l'));
    const auto made = master_.engine.call("work", arguments, has_op, this);
    if (!made) {
      REMSH_EXPECT(made.failure().code == Errc::busy);  // the queue is full
      return;
    }
    OpenCall* const open = *made;
    calls_.push_back(open);
    stories_[open->id].has_op = has_op;
  }

  void leave() {
    OpenCall* const open = some_call();
    if (open != nullptr) leave(open);
  }
  void leave(OpenCall* open) {
    std::erase(calls_, open);
    stories_[open->id].left = true;
    master_.engine.leave(*open);
  }

  void send_input() {
    OpenCall* const open = some_call();
    if (open == nullptr || !open->streams || open->state != OpenCall::State::open || !open->is_sent()) return;
    Story& story = stories_[open->id];
    const std::size_t count = std::min<std::size_t>({amount(), open->streams->in.room(), Block::max_payload});
    if (story.input_ended || count == 0) return;
    master_.engine.send_input(*open, story.sent[0].next(open->id, StreamName::in, count));
  }

  void end_input(OpenCall* open) {
    if (open == nullptr || !open->streams || open->state != OpenCall::State::open) return;
    Story& story = stories_[open->id];
    if (!std::exchange(story.input_ended, true)) master_.engine.end_input(*open);
  }

  void take_chunks(OpenCall* open, std::size_t most) {
    if (open == nullptr) return;
    for (; most > 0 && open->has_chunk(); --most) {
      const Chunk chunk = open->take_chunk();
      stories_[open->id].came[static_cast<std::size_t>(chunk.stream)].expect(open->id, chunk);
      master_.engine.consumed(*open, chunk);
    }
  }

  void read_input(const std::shared_ptr<OpenService>& service, std::size_t most) {
    if (!service) return;
    const std::uint64_t id = End::id_of(*service);
    for (; most > 0 && !service->in.empty(); --most) {
      const Chunk chunk = service->in.take();
      REMSH_EXPECT(!stories_[id].input_read);
      stories_[id].came[0].expect(id, chunk);
      stories_[id].input_read = chunk.last;
      slave_.engine.consumed(*service, chunk);
    }
  }

  void send_output() {
    const auto service = some_service();
    if (!service || service->op.empty()) return;
    const std::uint64_t id = End::id_of(*service);
    const StreamName stream = input_.flag() ? StreamName::err : StreamName::out;
    auto& credit = stream == StreamName::err ? service->err : service->out;
    const std::size_t count = std::min<std::size_t>({amount(), credit.room(), Block::max_payload});
    if (count == 0) return;
    auto data = stories_[id].sent[static_cast<std::size_t>(stream)].next(id, stream, count);
    slave_.engine.send_output(*service, stream, std::move(data), std::nullopt);
  }

  void answer() {
    if (const auto service = some_service()) answer(service, input_.byte());
  }
  void answer(const std::shared_ptr<OpenService>& service, std::size_t how) {
    Story& story = stories_[End::id_of(*service)];
    story.answered = true;
    if (how % 4 == 3) {
      story.failed = true;
      slave_.engine.fail(*service, {Errc::remote_failure, "no", 0});
    } else {
      if (how % 4 == 2) story.results.set("env", Bytes(how * 1000, 'r'));
      slave_.engine.answer(*service, story.results);
    }
    std::erase(slave_.services, service);
  }

  /// Everybody does what is left to do, until nothing is.
  void finish() {
    for (OpenCall* open : calls_) end_input(open);
    while (master_.session.has_output() || slave_.session.has_output() || !master_.wire.empty() ||
           !slave_.wire.empty() || !slave_.services.empty()) {
      master_.write(SIZE_MAX);
      slave_.read(master_, SIZE_MAX);
      for (const auto& service : std::vector(slave_.services)) {
        read_input(service, SIZE_MAX);
        const Story& story = stories_[End::id_of(*service)];
        if (!story.has_op || story.input_read || service->cancelled) answer(service, 2);
      }
      slave_.write(SIZE_MAX);
      deliver_to_master(SIZE_MAX, nullptr);
      for (OpenCall* open : calls_) take_chunks(open, SIZE_MAX);
    }
    for (OpenCall* open : std::vector(calls_)) {
      expect_outcome(*open);
      leave(open);
    }
    REMSH_EXPECT(master_.engine.open_calls() == 0 && master_.engine.abandoned_calls() == 0);
    REMSH_EXPECT(master_.session.sent() == slave_.session.received());
    REMSH_EXPECT(slave_.session.sent() == master_.session.received());
    REMSH_EXPECT(slave_.engine.open_calls() == 0 && slave_.engine.open_services() == 0);
  }

  void expect_outcome(const OpenCall& open) {
    const Story& story = stories_[open.id];
    REMSH_EXPECT(open.state == OpenCall::State::settled && story.outcomes == 1);
    const auto* const failure = std::get_if<Failure>(&open.outcome);
    if (!story.served) {  // too many were open
      REMSH_EXPECT(failure != nullptr && failure->code == Errc::busy);
      return;
    }
    REMSH_EXPECT(story.answered && (failure != nullptr) == story.failed);
    if (failure == nullptr) REMSH_EXPECT(std::get<Box>(open.outcome) == story.results);
    for (const std::size_t stream : {1U, 2U}) REMSH_EXPECT(story.came[stream].bytes == story.sent[stream].bytes);
    if (story.input_read) REMSH_EXPECT(story.came[0].bytes == story.sent[0].bytes);
  }

  fuzz::Input& input_;
  std::map<std::uint64_t, Story> stories_;
  End master_;
  End slave_;
  std::vector<OpenCall*> calls_;  // that have a caller
  TimePoint now_{std::chrono::seconds(1)};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  Pair(input).run();
  return 0;
}
