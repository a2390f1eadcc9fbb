// Numbers, tags, names of errors and shown text: read in one spelling only, and written in that one.
#include "base/decimal.hpp"
#include "base/errno_name.hpp"
#include "base/text.hpp"
#include "fuzz/input.hpp"
#include "rpc/message.hpp"

#include <algorithm>
#include <limits>

using namespace remsh;

namespace {

/// True for the only spelling of a number up to `max`, compared as text.
bool is_number(BytesView text, BytesView max) {
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return false;
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; })) return false;
  return text.size() < max.size() || (text.size() == max.size() && text <= max);
}

bool is_tag(BytesView text) {
  return !text.empty() && text.size() <= 16 && text.front() != '0' &&
         text.find_first_not_of("0123456789abcdef") == BytesView::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const BytesView text = fuzz::Input(data, size).rest();

  const auto number = from_decimal(text);
  REMSH_EXPECT(number.has_value() == is_number(text, "18446744073709551615"));
  if (number) REMSH_EXPECT(BytesView(Decimal(*number)) == text);

  const auto small = parse_number(text);
  REMSH_EXPECT(small.has_value() == is_number(text, "9999999999999999999"));
  if (small) REMSH_EXPECT(small == number);

  const auto tag = rpc::parse_tag(text);
  REMSH_EXPECT(tag.has_value() == is_tag(text));
  if (tag) REMSH_EXPECT(rpc::make_tag(*tag) == text);

  if (const int error = errno_value(text); error != 0) REMSH_EXPECT(errno_value(errno_name(error)) == error);
  const Failure failure = rpc::failure_of(text, text);
  const Bytes code = rpc::error_code(failure);
  if (failure.code == Errc::os_error && failure.os == 0) {  // an error that this system does not have
    REMSH_EXPECT(code == "FAILED");
  } else {
    REMSH_EXPECT(rpc::failure_of(code, "").code == failure.code);
  }
  REMSH_EXPECT(failure.message.size() <= 4096 + 4 * 32 + 3);

  for (const std::string& shown : {escaped(text), without_controls(text)}) {
    if (!text.empty()) fuzz::expect_printable(shown);
    REMSH_EXPECT(shown.size() >= text.size() && shown.size() <= 4 * text.size());
  }
  return 0;
}
