// MasterSession: whatever an original slave sends, each call ends once, and nothing comes that its kind does not have.
#include "fuzz/input.hpp"
#include "remsh1/master_session.hpp"

#include <array>
#include <optional>
#include <utility>
#include <variant>

using namespace remsh;
using namespace remsh::remsh1;
using Kind = MasterSession::Event::Kind;

namespace {

constexpr std::array<std::string_view, 12> keys{
    "_ask",   "_command", "_answer", "_error", "_error_code", "_error_description",
    "stream", "data",     "result",  "errmsg", "errstr",      "type"};
constexpr std::array<std::string_view, 16> values{
    "1", "2", "3", "4", "5", "data", "finished", "stdout", "stderr", "0", "-9", "-99999", "no space", "", "6", "stat"};
constexpr std::array<std::string_view, 4> commands{"stat", "execute", "send", "fetch"};

class Script {
 public:
  explicit Script(fuzz::Input& input) : input_(input) {}

  void run() {
    while (!input_.empty()) {
      act();
      REMSH_EXPECT(broken_ || session_.is_idle() == !command_.has_value());
      REMSH_EXPECT(!(session_.is_idle() && (session_.is_sending() || session_.is_executing())));
    }
  }

 private:
  void act() {
    switch (input_.below(8)) {
      case 0:
      case 1:
        if (command_ || broken_) return;
        command_ = commands[input_.below(commands.size())];
        answered_ = false;
        return expect_sent(session_.begin(Bytes(*command_), Box{{"src", "x"}}), *command_);
      case 2: return feed(Box{{"_answer", asked_}, {"r", "1"}});
      case 3: return feed(Box{{"_error", asked_}, {"_error_code", "0"}, {"_error_description", "no"}});
      case 4: {
        Box data{{"_ask", "1"}, {"_command", "data"}, {"data", input_.bytes(20)}};
        if (input_.flag()) data.set("stream", input_.word(values));
        return feed(std::move(data));
      }
      case 5: {
        Box finished{{"_ask", "1"}, {"_command", "finished"}, {"result", input_.word(values)}};
        if (input_.byte() == 255) finished.set("errstr", "no");
        return feed(std::move(finished));
      }
      case 6:
        if (broken_ || !session_.is_sending()) return;
        if (input_.flag()) return expect_sent(session_.finish(), "finished");
        return expect_sent(session_.data("piece"), "data");
      default: {
        const Bytes bytes = input_.box(keys, values);
        BoxDecoder decoder(limits);
        decoder.feed(bytes);
        if (decoder.next()) feed(decoder.box().copy());
      }
    }
  }

  /// Every box of ours is a call with the next tag.
  void expect_sent(Box box, BytesView command) {
    REMSH_EXPECT(box.get("_ask") == std::to_string(++last_tag_) && box.get("_command") == command);
    asked_ = *box.get("_ask");
  }

  void feed(Box box) {
    const bool was_idle = session_.is_idle();
    const bool was_sending = session_.is_sending();
    const auto event = session_.feed(std::move(box));
    if (!event) {
      broken_ = true;
      REMSH_EXPECT(event.failure().code == Errc::protocol_error);
      return fuzz::expect_printable(event.failure().message);
    }
    REMSH_EXPECT(!broken_ && !was_idle && !was_sending && command_);
    const bool streams = command_ == "execute" || command_ == "fetch";
    REMSH_EXPECT(!event->reply || (command_ == "fetch" && session_.is_idle()));
    switch (event->kind) {
      case Kind::answered:
        REMSH_EXPECT(!answered_ || command_ == "send");
        answered_ = true;
        break;
      case Kind::failed: REMSH_EXPECT(session_.is_idle()); break;
      case Kind::data: REMSH_EXPECT(answered_ && streams && !session_.is_idle()); break;
      case Kind::finished:
        REMSH_EXPECT(answered_ && streams && session_.is_idle());
        if (command_ == "execute") {
          REMSH_EXPECT(event->result.exit_code.has_value() != event->result.signal.has_value());
        }
        break;
    }
    if (session_.is_idle()) command_.reset();
  }

  fuzz::Input& input_;
  MasterSession session_;
  std::optional<std::string_view> command_;  // under way
  bool answered_ = false;
  bool broken_ = false;
  std::uint64_t last_tag_ = 0;
  Bytes asked_ = "0";
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  Script(input).run();
  return 0;
}
