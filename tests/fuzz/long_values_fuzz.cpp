// Long values: what is cut can be sent and is joined again; what is joined was cut as the protocol says.
#include "connection/long_value.hpp"
#include "fuzz/input.hpp"

#include <array>

using namespace remsh;

namespace {

constexpr std::array<std::string_view, 12> keys{"env",      "env~0001", "env~0002", "env~0003", "args",     "args~0001",
                                                "env~000g", "~0001",    "env~1",    "env~~001", "env~0000", "a"};

bool has_mark(BytesView key) { return key.find('~') != BytesView::npos; }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  Box box;
  bool has_marks = false;
  bool fits = true;
  while (!input.empty() && box.size() < 20) {
    Bytes key = input.word(keys);
    if (key.empty()) key = Bytes(Box::max_key - input.below(8), 'k');
    const std::size_t length = input.size();
    const char fill = static_cast<char>('a' + input.below(26));
    has_marks = has_marks || has_mark(key);
    fits = fits && length <= Box::max_value;
    box.set(key, Bytes(length, fill));
  }
  if (box.empty()) return 0;
  fits = !has_long_value(box);

  if (const auto cut = split_long_values(box)) {
    for (const auto& [key, value] : *cut) REMSH_EXPECT(value.size() <= Box::max_value);
    if (fits) REMSH_EXPECT(*cut == box);
    REMSH_EXPECT(cut->size() >= box.size());
    for (const auto& [key, value] : box) REMSH_EXPECT(cut->get(key) == BytesView(value).substr(0, Box::max_value));
    const auto joined = join_long_values(*cut);
    if (!has_marks) REMSH_EXPECT(joined && *joined == box);
  } else {
    REMSH_EXPECT(cut.failure().code == Errc::too_large || cut.failure().code == Errc::invalid_argument);
    if (!has_marks && cut.failure().code == Errc::invalid_argument) REMSH_EXPECT(!fits);
    fuzz::expect_printable(cut.failure().message);
  }

  if (fits) {  // as it may come from a peer
    const auto joined = join_long_values(box);
    if (joined) {
      for (const auto& [key, value] : *joined) REMSH_EXPECT(!has_mark(key));
      const auto cut = split_long_values(*joined);
      if (cut) REMSH_EXPECT(*cut == box);
    } else {
      REMSH_EXPECT(has_marks);
      REMSH_EXPECT(joined.failure().code == Errc::invalid_argument);
      fuzz::expect_printable(joined.failure().message);
    }
  }
  return 0;
}
