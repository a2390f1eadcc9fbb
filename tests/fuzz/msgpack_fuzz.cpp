// msgpack: any bytes are refused with a sentence, or are a value that can be written, and is then read as the same.
#include "buildbot/msgpack.hpp"
#include "fuzz/input.hpp"

using namespace remsh;
using namespace remsh::buildbot;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const BytesView bytes(reinterpret_cast<const char*>(data), size);
  const MsgpackLimits limits{.values = 1000};
  const auto value = from_msgpack(bytes, limits);
  if (!value) {
    REMSH_EXPECT(value.failure().code == Errc::protocol_error);
    fuzz::expect_printable(value.failure().message);
    return 0;
  }
  const auto written = to_msgpack(*value);
  REMSH_EXPECT(written.ok());
  // The shortest form; only a float of 32 bits becomes longer.
  REMSH_EXPECT(written->size() <= size || bytes.find('\xca') != BytesView::npos);
  const auto again = from_msgpack(*written, limits);
  REMSH_EXPECT(again.ok());
  REMSH_EXPECT(*to_msgpack(*again) == *written);  // not the values: a NaN differs from itself
  return 0;
}
