// Jelly: any expression is refused with a sentence, or is a value that is written as the same expression again.
#include "buildbot/jelly.hpp"
#include "fuzz/input.hpp"

using namespace remsh;
using namespace remsh::buildbot;

namespace {

template <class T>
bool is_refused(const Result<T>& result) {
  if (result) return false;
  REMSH_EXPECT(result.failure().code == Errc::protocol_error);
  fuzz::expect_printable(result.failure().message);
  return true;
}

Bytes banana(const Expression& expression) {
  Bytes bytes;
  append_banana(bytes, expression);
  return bytes;
}

Expression read(BytesView bytes) {
  BananaReader reader({});
  reader.feed(bytes);
  const auto next = reader.next();
  REMSH_EXPECT(next.ok() && next->has_value());
  return **next;
}

void try_parts(const Expression& expression) {
  const auto remote_number = remote_of(expression);
  if (remote_number) REMSH_EXPECT(remote(*remote_number) == expression);
  const auto text = failure_text(expression);
  if (text) fuzz::expect_printable(*text);
  const auto pairs = pairs_of_dictionary(expression);
  REMSH_EXPECT(!pairs || !items_of_tuple(expression));
  const auto* const list = expression.get_if<Expression::List>();
  if (list == nullptr) return;
  for (const Expression& item : *list) try_parts(item);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  BananaReader reader({});
  reader.feed(BytesView(reinterpret_cast<const char*>(data), size));
  for (;;) {
    const auto next = reader.next();
    if (is_refused(next) || !next->has_value()) return 0;
    try_parts(**next);
    const auto plain = without_references(**next, 20'000, 100'000);
    if (is_refused(plain)) continue;
    try_parts(*plain);
    const auto value = from_jelly(*plain);
    if (is_refused(value)) continue;
    const auto written = to_jelly(*value);
    REMSH_EXPECT(written.ok());
    const Bytes bytes = banana(*written);
    REMSH_EXPECT(bytes == banana(*plain));  // not the values: a NaN differs from itself
    const auto again = from_jelly(read(bytes));
    REMSH_EXPECT(again.ok());
    REMSH_EXPECT(banana(to_jelly(*again).value()) == bytes);
  }
}
