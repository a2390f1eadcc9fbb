// SlaveSession: whatever an original master sends, nothing is done before the registration, data comes only while a
// file is sent, and what is said is right.
#include "fuzz/input.hpp"
#include "remsh1/slave_session.hpp"

#include <array>
#include <utility>

using namespace remsh;
using namespace remsh::remsh1;
using Kind = SlaveSession::Event::Kind;

namespace {

constexpr std::array<std::string_view, 16> keys{"_ask",        "_command",    "_answer", "_error", "_error_description",
                                                "type",        "dest",        "src",     "path",   "args",
                                                "want_stdout", "want_stderr", "data",    "dir",    "cwd",
                                                "pathname"};
constexpr std::array<std::string_view, 18> values{"1",     "2",       "data", "finished", "set_cwd", "getenv",
                                                  "mkdir", "execute", "send", "fetch",    "remove",  "rename",
                                                  "copy",  "stat",    "y",    "n",        "",        "registered"};

class Script {
 public:
  explicit Script(fuzz::Input& input) : input_(input) {}

  void run() {
    while (!input_.empty() && !over_) act();
  }

 private:
  void act() {
    switch (input_.below(8)) {
      case 0: return feed(registered_box());
      case 1: return feed(Box{{"_ask", "1"}, {"_command", "send"}, {"dest", "x"}});
      case 2: return feed(Box{{"_ask", "2"}, {"_command", "data"}, {"data", input_.bytes(20)}});
      case 3: return feed(Box{{"_ask", "3"}, {"_command", "finished"}});
      case 4:
        return feed(Box{{"_ask", input_.bytes(3)}, {"_command", input_.word(values)}, {"src", "a"}, {"dest", "b"}});
      case 5: {
        const auto stream = input_.flag() ? std::optional(Stream::err) : std::nullopt;
        const Bytes bytes = session_.data(stream, input_.bytes(80));
        BoxDecoder decoder(limits);
        decoder.feed(bytes);
        REMSH_EXPECT(decoder.next() && decoder.box().is_canonical());
        return expect_sent(decoder.box().copy(), "data");
      }
      case 6:
        if (input_.flag()) return expect_sent(session_.file_finished(Bytes(input_.bytes(20))), "finished");
        return expect_sent(session_.command_finished(ReturnCode{{}, 9}), "finished");
      default: {
        const Bytes bytes = input_.box(keys, values);
        BoxDecoder decoder(limits);
        decoder.feed(bytes);
        if (decoder.next()) feed(decoder.box().copy());
      }
    }
  }

  void expect_sent(const Box& box, BytesView command) {
    REMSH_EXPECT(box.get("_ask") == std::to_string(++last_tag_) && box.get("_command") == command);
  }

  void feed(Box box) {
    const auto event = session_.feed(std::move(box));
    if (!event) {
      over_ = true;
      REMSH_EXPECT(event.failure().code == Errc::protocol_error);
      return fuzz::expect_printable(event.failure().message);
    }
    REMSH_EXPECT((event->kind == Kind::registered) == !registered_);
    registered_ = true;
    switch (event->kind) {
      case Kind::registered:
      case Kind::dropped: break;
      case Kind::call:
        REMSH_EXPECT(event->call.command != "data" && event->call.command != "finished");
        REMSH_EXPECT(!(event->call.command == "send" && receiving_));
        if (event->call.command == "send" && input_.flag()) {
          receiving_ = true;
          session_.expect_data();
        }
        break;
      case Kind::refused: fuzz::expect_printable(event->text); break;
      case Kind::data: REMSH_EXPECT(receiving_); break;
      case Kind::end_of_data: REMSH_EXPECT(std::exchange(receiving_, false)); break;
    }
  }

  fuzz::Input& input_;
  SlaveSession session_;
  bool registered_ = false;
  bool receiving_ = false;
  bool over_ = false;
  std::uint64_t last_tag_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  Script(input).run();
  return 0;
}
