// Pickles: any bytes are refused with a sentence, or are a value that can be written, and is then read as the same.
#include "fuzz/input.hpp"
#include "messages/pickle.hpp"

using namespace remsh;
using namespace remsh::messages;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const BytesView bytes(reinterpret_cast<const char*>(data), size);
  const PickleLimits limits{.values = 10'000, .bytes = 1'000'000, .depth = 100};
  const auto value = from_pickle(bytes, limits);
  if (!value) {
    REMSH_EXPECT(value.failure().code == Errc::protocol_error);
    fuzz::expect_printable(value.failure().message);
    return 0;
  }
  const auto written = to_pickle(*value);
  REMSH_EXPECT(written.ok());
  const auto again = from_pickle(*written);
  REMSH_EXPECT(again.ok());
  REMSH_EXPECT(*to_pickle(*again) == *written);  // not the values: a NaN differs from itself
  return 0;
}
