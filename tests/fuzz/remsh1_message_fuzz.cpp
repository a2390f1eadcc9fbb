// The messages of remsh 1: any box is refused with a sentence, or means something that can be said again.
#include "fuzz/input.hpp"
#include "remsh1/error_text.hpp"
#include "remsh1/message.hpp"

#include <array>
#include <utility>
#include <variant>

using namespace remsh;
using namespace remsh::remsh1;

namespace {

constexpr std::array<std::string_view, 10> keys{
    "_ask", "_command", "_answer",  "_error", "_error_code", "_error_description",
    "type", "version",  "hostname", "args"};
constexpr std::array<std::string_view, 10> values{"", "0", "1", "register", "registered", "stat", "y", "n", "ny", "-9"};

void expect_box(const Box& box) {
  const auto registered = Register::from_box(box);
  REMSH_EXPECT(!registered || Register::is_one(box));
  if (registered) {
    const auto again = Register::from_box(registered->to_box());
    REMSH_EXPECT(again && again->hostname == registered->hostname && again->version == registered->version);
  } else {
    fuzz::expect_printable(registered.failure().message);
  }

  auto message = parse(box);
  if (!message) {
    REMSH_EXPECT(message.failure().code == Errc::protocol_error);
    return fuzz::expect_printable(message.failure().message);
  }
  if (auto* const call = std::get_if<Call>(&*message)) {
    REMSH_EXPECT(std::move(*call).to_box() == box);
  } else if (auto* const answer = std::get_if<Answer>(&*message)) {
    REMSH_EXPECT(std::move(*answer).to_box() == box);
  } else {
    const Box said = std::move(std::get<ErrorAnswer>(*message)).to_box();
    for (const auto key : {"_error", "_error_description"}) REMSH_EXPECT(said.get(key) == box.get(key));
  }
}

void expect_text(BytesView text) {
  REMSH_EXPECT(join_args(split_args(text)) == text);
  if (const auto value = from_boolean(text)) REMSH_EXPECT(*value == (text == "y") && text.size() <= 2);
  if (const auto stream = stream_of(text)) REMSH_EXPECT(to_string(*stream) == text);
  if (const auto code = ReturnCode::from_text(text)) {
    REMSH_EXPECT(code->exit_code.has_value() != code->signal.has_value());
    const auto again = ReturnCode::from_text(code->to_text());
    REMSH_EXPECT(again && *again == *code);
  } else {
    fuzz::expect_printable(code.failure().message);
  }
  const Failure failure = failure_of(text);
  REMSH_EXPECT((failure.os != 0) == (failure.code == Errc::os_error) && !failure.message.empty());
  REMSH_EXPECT(failure.message.size() <= std::max<std::size_t>(text.size(), 64));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  if (input.flag()) {
    expect_text(input.rest());
    return 0;
  }
  const Bytes bytes = input.box(keys, values);
  BoxDecoder decoder(limits);
  decoder.feed(bytes);
  if (decoder.next()) expect_box(decoder.box().copy());
  return 0;
}
