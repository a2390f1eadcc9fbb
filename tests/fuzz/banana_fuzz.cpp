// Banana: any bytes, however they are cut, are refused with a sentence, or are expressions that are written and read as
// the same.
#include "buildbot/banana.hpp"
#include "fuzz/input.hpp"

using namespace remsh;
using namespace remsh::buildbot;

namespace {

constexpr BananaLimits limits{.string = 1'000, .elements = 500, .bytes = 1'500, .depth = 8};

struct Outcome {
  Bytes expressions;  // as they are written
  std::size_t count = 0;
  std::string failure;
};

Outcome outcome(BytesView bytes, std::uint8_t seed, Vocabulary vocabulary) {
  BananaReader reader(limits);
  Outcome result;
  fuzz::in_pieces(bytes, seed, [&](BytesView piece) {
    reader.feed(piece);
    for (;;) {
      const auto next = reader.next();
      if (!next) {
        REMSH_EXPECT(next.failure().code == Errc::protocol_error);
        result.failure = next.failure().message;
        return;
      }
      if (!next->has_value()) return;
      ++result.count;
      append_banana(result.expressions, **next, vocabulary);
    }
  });
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::uint8_t seed = input.byte();
  const BytesView bytes = input.rest();
  const Outcome whole = outcome(bytes, 0, Vocabulary::pb);
  const Outcome parts = outcome(bytes, seed, Vocabulary::pb);
  REMSH_EXPECT(whole.expressions == parts.expressions && whole.failure == parts.failure);
  if (!whole.failure.empty()) fuzz::expect_printable(whole.failure);

  const Outcome again = outcome(whole.expressions, seed, Vocabulary::pb);  // never longer than it came
  REMSH_EXPECT(again.failure.empty() && again.count == whole.count && again.expressions == whole.expressions);
  return 0;
}
