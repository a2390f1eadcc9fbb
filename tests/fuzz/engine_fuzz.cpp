// Engine: a script of boxes, bytes, calls, answers, credit and ticks. Whatever the other side sends, both sides keep
// the limits and the credit, what goes out is right, and every call is settled exactly once.
#include "base/decimal.hpp"
#include "fuzz/input.hpp"
#include "rpc/engine.hpp"
#include "rpc/message.hpp"
#include "session/session.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <vector>

using namespace remsh;
using namespace remsh::rpc;

namespace {

constexpr std::array<std::string_view, 16> keys{
    "_ask", "_command", "_answer", "_error", "_error_code", "_error_description", "op",    "stream",
    "data", "bytes",    "total",   "reason", "env",         "env~0001",           "retry", "path"};
constexpr std::array<std::string_view, 24> values{
    "1",       "2",  "3",   "4",   "5",     "99",      "data",   "end",  "credit", "cancel",  "goodbye", "ping",
    "execute", "in", "out", "err", "65536", "2097152", "ENOENT", "BUSY", "gone",   "1000000", "",        "FAILED"};
constexpr std::array<std::string_view, 7> commands{"ping", "stat", "execute", "data", "goodbye", "", "draining"};
constexpr std::array<std::string_view, 4> streams{"in", "out", "err", "none"};
constexpr std::array<std::string_view, 6> amounts{"64", "1000", "65536", "2031616", "2097152", "01"};

/// What one direction of a stream may carry, counted by what was seen on the wire.
using Granted = std::map<std::pair<Bytes, Bytes>, std::uint64_t>;

class Harness final : private Engine::Events {
 public:
  explicit Harness(fuzz::Input& input)
      : input_(input),
        settings_(input.byte()),
        options_(options(settings_)),
        session_(session_options_),
        engine_(options_, session_, *this) {
    if ((settings_ & 4U) != 0) engine_.use_compression();
    session_.attach(now_);
  }

  void run() {
    while (!input_.empty() && !over_) {
      act();
      expect_limits();
      if (!is_lazy()) drain();
    }
    finish();
  }

 private:
  struct Call {
    OpenCall* open;
    bool has_op;
    bool settled = false;
    bool input_ended = false;
  };

  static Engine::Options options(std::size_t settings) {
    Engine::Options options;
    options.serves = (settings & 1U) != 0;
    options.max_services = 4;
    options.max_abandoned = 3;
    options.max_unsent = 2048;
    return options;
  }
  [[nodiscard]] bool serves() const { return (settings_ & 1U) != 0; }
  /// What goes out is left in the queue at times; then credit cannot be counted on the wire.
  [[nodiscard]] bool is_lazy() const { return (settings_ & 2U) != 0; }

  Bytes tag() { return make_tag(1 + input_.below(8)); }

  Call* some_call() {
    if (calls_.empty()) return nullptr;
    return &std::next(calls_.begin(), static_cast<std::ptrdiff_t>(input_.below(calls_.size())))->second;
  }
  OpenService* some_service() { return services_.empty() ? nullptr : services_[input_.below(services_.size())].get(); }

  void act() {
    switch (input_.below(20)) {
      case 0: return feed(input_.bytes(200));
      case 1: return feed(input_.box(keys, values));
      case 2: return feed(encode(Box{{"_answer", tag()}, {"result", Bytes(input_.bytes(8))}}));
      case 3:
        return feed(encode(Box{{"_error", tag()}, {"_error_code", input_.word(values)}, {"_error_description", "no"}}));
      case 4: {
        const Bytes name = input_.word(commands);
        Box box{{"_ask", tag()}, {"_command", name}};
        if (input_.flag()) box.set("op", tag());
        if (input_.flag()) box.set("env", Bytes(std::min(input_.size(), Box::max_value), 'e'));
        if (input_.flag()) box.set("env~0001", "more");
        return feed(encode(box));
      }
      case 5:
      case 6: {
        const std::size_t size = std::clamp<std::size_t>(input_.size(), 1, Box::max_value);
        Box box{{"_command", "data"}, {"data", Bytes(size, 'd')}, {"op", tag()}, {"stream", input_.word(streams)}};
        if (input_.flag()) box.set("total", input_.word(amounts));
        if ((settings_ & 4U) != 0 && input_.flag()) compress(box);
        return feed(encode(box));
      }
      case 7: return feed(encode(Box{{"_command", "end"}, {"op", tag()}, {"stream", input_.word(streams)}}));
      case 8:
        return feed(encode(Box{
            {"_command", "credit"}, {"bytes", input_.word(amounts)}, {"op", tag()}, {"stream", input_.word(streams)}}));
      case 9: return feed(encode(Box{{"_command", "cancel"}, {"op", tag()}}));
      case 10:
      case 11: return call();
      case 12: return leave();
      case 13: return take_chunks();
      case 14: return send_input();
      case 15: return serve_input();
      case 16: return send_output();
      case 17: return answer();
      case 18: return tick();
      case 19:
        if (is_lazy()) return drain();
        if (input_.byte() == 255) {
          session_.close({Errc::connection_lost, Bytes(input_.bytes(20)), 0}, 5);
          is_closing_ = true;
        }
        return;
      default: return;
    }
  }

  // --- what comes

  void feed(BytesView bytes) {
    const Bytes fed(bytes);
    session_.receive(fed, now_);
    while (const BoxView* const box = session_.next()) {
      if (!receive(*box)) session_.breach({Errc::protocol_error, "", 0});
    }
    over_ = session_.is_over();
  }

  bool receive(const BoxView& box) {
    incoming_ = nullptr;
    const auto received = engine_.receive(box);
    if (!received) {
      REMSH_EXPECT(received.failure().code == Errc::protocol_error);
      fuzz::expect_printable(received.failure().message);
      return false;
    }
    const auto command = box.get("_command");
    if (box.has("_answer") || box.has("_error")) return true;
    REMSH_EXPECT(command);
    if (const auto asked = box.get("_ask")) {
      REMSH_EXPECT(serves() || command == "ping");
      unanswered_.emplace(*asked);
      if (incoming_ == nullptr || incoming_->op.empty()) return true;
      received_[{incoming_->op, "in"}] = stream_window;
      sent_[{incoming_->op, "out"}] = stream_window;
      sent_[{incoming_->op, "err"}] = stream_window;
    } else if (!is_lazy()) {
      count_credit(box, *command);
    }
    return true;
  }

  /// The engine took it, so it must have been within what was granted.
  void count_credit(const BoxView& box, BytesView command) {
    const auto op = box.get("op");
    const auto stream = box.get("stream");
    if (!op || !stream) return;
    const Granted::key_type key{*op, *stream};
    const bool is_here = stream == "in" ? has_service(*op) : has_call(*op);
    if (command == "data" && is_here) {
      const std::uint64_t cost = chunk_cost(size_of(box));
      REMSH_EXPECT(received_.contains(key) && received_[key] >= cost);
      received_[key] -= cost;
    }
    const bool is_sent = stream == "in" ? has_call(*op) : has_service(*op);
    if (command == "credit" && is_sent && sent_.contains(key)) {
      sent_[key] += *parse_number(*box.get("bytes"));
      REMSH_EXPECT(sent_[key] <= stream_window_max);
    }
  }

  /// Compresses the data of a box, and perhaps lies about its size.
  void compress(Box& box) {
    const std::size_t size = std::min(box.get("data")->size(), Block::max_payload);
    BoxData data = filled(size & ~std::size_t{1});
    box.set("data", Bytes(data.block().payload().data(), data.count()));
    box.set("zstd", std::to_string(data.restored() + (input_.byte() == 255 ? 1 : 0)));
  }

  /// What the data of a box becomes.
  static std::size_t size_of(const BoxView& box) {
    const auto size = box.get("zstd");
    return size ? static_cast<std::size_t>(*parse_number(*size)) : box.get("data")->size();
  }

  [[nodiscard]] bool has_service(BytesView op) const {
    return std::any_of(services_.begin(), services_.end(),
                       [op](const auto& service) { return service->op == op && !service->answered; });
  }
  /// A call of ours that is open, or whose caller has left.
  [[nodiscard]] bool has_call(BytesView op) const {
    const auto id = parse_tag(op);
    if (!id) return false;
    const auto found = calls_.find(*id);
    return found != calls_.end() ? found->second.has_op && !found->second.settled && found->second.open->is_sent()
                                 : left_.contains(*id);
  }

  void on_call_changed(OpenCall& open) override {
    const auto found = calls_.find(open.id);
    REMSH_EXPECT(found != calls_.end() && found->second.open == &open && open.owner == this);
    REMSH_EXPECT(!found->second.settled);
    found->second.settled = open.state == OpenCall::State::settled;
  }
  void on_service(std::shared_ptr<OpenService> service) override {
    REMSH_EXPECT(serves() && !service->answered && !service->cancelled);
    incoming_ = service.get();
    services_.push_back(std::move(service));
  }
  void on_service_changed(OpenService& service) override {
    REMSH_EXPECT(service.answered == is_ending_);  // of one that is over nothing is told, but by the end
  }

  // --- what we do

  void call() {
    const bool has_op = input_.flag();
    Box arguments;
    if (input_.flag()) arguments.set("path", Bytes(input_.byte() == 255 ? 1'000'000U : input_.size(), 'p'));
    const std::size_t before = engine_.open_calls();
    const auto made = engine_.call("work", arguments, has_op, this);
    REMSH_EXPECT(engine_.open_calls() == before + (made ? 1 : 0));
    REMSH_EXPECT(!made || engine_.abandoned_calls() < 3);
    if (!made) return fuzz::expect_printable(made.failure().message);
    OpenCall* const open = *made;
    REMSH_EXPECT(open->id > last_id_ && (open->streams != nullptr) == has_op);
    last_id_ = open->id;
    calls_[open->id] = Call{.open = open, .has_op = has_op};
    if (!has_op) return;
    const Bytes op = make_tag(open->id);
    received_[{op, "out"}] = received_[{op, "err"}] = sent_[{op, "in"}] = stream_window;
  }

  void leave() {
    Call* const one = some_call();
    if (one == nullptr) return;
    const std::uint64_t id = one->open->id;
    const bool settled = one->settled;
    OpenCall& open = *one->open;
    if (!settled && one->has_op && open.is_sent()) left_.insert(id);
    calls_.erase(id);
    engine_.leave(open);
  }

  void take_chunks() {
    Call* const one = some_call();
    if (one == nullptr) return;
    for (std::size_t most = 1 + input_.below(8); most > 0 && one->open->has_chunk(); --most) {
      const Chunk chunk = one->open->take_chunk();
      REMSH_EXPECT(!chunk.bytes().empty() && !chunk.last && chunk.stream != StreamName::in);
      engine_.consumed(*one->open, chunk);
    }
  }

  /// Of an even size they are compressed, if that makes them smaller.
  [[nodiscard]] BoxData filled(std::size_t count) const {
    Block block;
    std::memset(block.payload().data(), 'i', count);
    return engine_.compresses() && count % 2 == 0 ? BoxData::compressed_if_smaller(std::move(block), count)
                                                  : BoxData::plain(std::move(block), count);
  }

  /// How much of it we send now: up to all that is allowed.
  std::size_t amount(std::uint64_t room) {
    return std::min<std::size_t>({input_.size(), static_cast<std::size_t>(room), Block::max_payload});
  }

  void send_input() {
    Call* const one = some_call();
    if (one == nullptr || !one->has_op || one->settled || one->input_ended) return;
    if (input_.byte() == 255) {
      one->input_ended = true;
      return engine_.end_input(*one->open);
    }
    if (!one->open->is_sent()) return;
    const std::size_t count = amount(one->open->streams->in.room());
    if (count > 0) engine_.send_input(*one->open, filled(count));
  }

  void serve_input() {
    OpenService* const service = some_service();
    if (service == nullptr) return;
    for (std::size_t most = 1 + input_.below(8); most > 0 && !service->in.empty(); --most) {
      engine_.consumed(*service, service->in.take());
    }
  }

  void send_output() {
    OpenService* const service = some_service();
    if (service == nullptr || service->op.empty()) return;
    const StreamName stream = input_.flag() ? StreamName::err : StreamName::out;
    const std::size_t count = amount((stream == StreamName::err ? service->err : service->out).room());
    if (count > 0) engine_.send_output(*service, stream, filled(count), std::nullopt);
  }

  void answer() {
    OpenService* const service = some_service();
    if (service == nullptr) return;
    const bool was_answered = service->answered;
    const std::size_t before = engine_.open_services();
    if (input_.flag()) {
      Box results;
      if (input_.flag()) results.set("env", Bytes(input_.byte() == 255 ? 2'000'000U : input_.size(), 'r'));
      if (input_.flag()) results.set("_bad", "");
      engine_.answer(*service, results);
    } else {
      engine_.fail(*service, {Errc::remote_failure, "no", 0});
    }
    REMSH_EXPECT(service->answered && engine_.open_services() == before - (was_answered ? 0 : 1));
    if (input_.flag()) std::erase_if(services_, [service](const auto& one) { return one.get() == service; });
  }

  void tick() {
    now_ += std::chrono::milliseconds(input_.below(256) * 16);
    switch (session_.look(now_)) {
      case Session::Pulse::good: return;
      case Session::Pulse::ping_due: ++pings_; return engine_.ping();
      case Session::Pulse::lost: over_ = true; return;
    }
  }

  // --- what goes out

  void drain() {
    Bytes bytes;
    std::size_t part = input_.below(4) * 100;
    while (session_.has_output()) {
      std::array<std::string_view, 16> views;
      const std::size_t count = session_.gather(views);
      Bytes gathered;
      for (std::size_t i = 0; i < count; ++i) gathered += views[i];
      REMSH_EXPECT(!gathered.empty());
      const std::size_t written = part == 0 ? gathered.size() : std::min(part, gathered.size());
      part *= 2;
      session_.written(written, now_);
      engine_.send_waiting();
      bytes += gathered.substr(0, written);
    }
    REMSH_EXPECT(session_.data_bytes() == 0 && session_.control_bytes() == 0);
    BoxDecoder boxes;
    boxes.feed(bytes);
    while (boxes.next()) expect_sent(boxes.box());
    REMSH_EXPECT(boxes.error() == BoxError::none && !boxes.is_inside_box());
  }

  void expect_sent(const BoxView& box) {
    REMSH_EXPECT(box.is_canonical());
    REMSH_EXPECT(!has_ended_);  // nothing follows a goodbye
    const auto answered = box.has("_answer") ? box.get("_answer") : box.get("_error");
    if (answered) {
      const auto found = unanswered_.find(Bytes(*answered));
      REMSH_EXPECT(found != unanswered_.end());
      unanswered_.erase(found);
      return;
    }
    const auto command = box.get("_command");
    REMSH_EXPECT(command);
    if (const auto asked = box.get("_ask")) {
      const auto id = parse_tag(*asked);
      REMSH_EXPECT(id && *id > last_asked_);
      last_asked_ = *id;
      return;
    }
    has_ended_ = command == "goodbye";
    if (is_lazy() || command == "goodbye" || command == "cancel" || command == "end") return;
    const Granted::key_type key{*box.get("op"), *box.get("stream")};
    if (command == "credit") {
      REMSH_EXPECT(received_.contains(key));
      received_[key] += *parse_number(*box.get("bytes"));
      REMSH_EXPECT(received_[key] <= stream_window_max);
    } else {
      REMSH_EXPECT(command == "data" && sent_.contains(key));
      const std::uint64_t cost = chunk_cost(size_of(box));
      REMSH_EXPECT(sent_[key] >= cost);
      sent_[key] -= cost;
    }
  }

  void expect_limits() {
    REMSH_EXPECT(engine_.open_services() <= 4);
    REMSH_EXPECT(engine_.open_calls() <= calls_.size() + engine_.abandoned_calls() + pings_);
  }

  void finish() {
    if (!over_) {
      drain();
      REMSH_EXPECT(is_closing_ || unanswered_.size() == engine_.open_services());
    }
    is_ending_ = true;
    session_.end({Errc::connection_lost, "gone", 0});
    engine_.end(*session_.over());
    REMSH_EXPECT(!session_.has_output() && engine_.open_services() == 0 && engine_.abandoned_calls() == 0);
    REMSH_EXPECT(engine_.open_calls() == calls_.size());
    for (auto& [id, one] : calls_) {
      REMSH_EXPECT(one.settled && one.open->state == OpenCall::State::settled);
      while (one.open->has_chunk()) engine_.consumed(*one.open, one.open->take_chunk());
      engine_.leave(*one.open);
    }
    for (const auto& service : services_) {
      REMSH_EXPECT(service->answered);
      engine_.answer(*service, {});
    }
    REMSH_EXPECT(engine_.open_calls() == 0 && !session_.has_output());
  }

  fuzz::Input& input_;
  const std::size_t settings_;
  const Engine::Options options_;
  const Session::Options session_options_{.keepalive = std::chrono::seconds(2), .patience = std::chrono::seconds(3)};
  Session session_;
  Engine engine_;
  TimePoint now_{std::chrono::seconds(1)};
  bool over_ = false;
  bool is_ending_ = false;

  std::map<std::uint64_t, Call> calls_;  // that have a caller
  std::set<std::uint64_t> left_;         // calls with an op whose caller has left
  std::vector<std::shared_ptr<OpenService>> services_;
  OpenService* incoming_ = nullptr;
  bool is_closing_ = false;          // goodbye() was called
  bool has_ended_ = false;           // and its box went out
  std::multiset<Bytes> unanswered_;  // tags that the other side has asked with
  std::size_t pings_ = 0;            // that the session asked for
  std::uint64_t last_id_ = 0;
  std::uint64_t last_asked_ = 0;
  Granted received_;  // what the other side may still send
  Granted sent_;      // what we may still send
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  Harness(input).run();
  return 0;
}
