// BoxDecoder: any bytes, in any pieces, give the boxes and the error that the plain reading of section 1 gives.
#include "fuzz/input.hpp"

#include <remsh/connection/box_codec.hpp>

#include <array>
#include <set>
#include <vector>

using namespace remsh;

namespace {

struct Reading {
  std::vector<BytesView> boxes;  // their bytes
  BoxError error = BoxError::none;
  bool inside = false;  // the bytes end in a box
};

/// docs/protocol.md section 1, read plainly: whole boxes from the front until one is wrong or cut.
Reading read_plainly(BytesView all, BoxLimits limits) {
  Reading reading;
  while (!all.empty() && reading.error == BoxError::none) {
    std::set<BytesView> keys;
    std::size_t at = 0;
    std::size_t fields = 0;
    bool twice = false;
    const auto need = [&](std::size_t size) { return reading.inside = all.size() - at < size; };
    const auto length = [&] {
      const auto high = static_cast<unsigned char>(all[at]);
      const auto low = static_cast<unsigned char>(all[at + 1]);
      at += 2;
      return static_cast<std::size_t>(high) * 256 + low;
    };
    for (;;) {
      if (need(2)) return reading;
      const std::size_t key = length();
      if (key == 0) break;
      if (key > 255)
        reading.error = BoxError::key_too_long;
      else if (fields == limits.fields)
        reading.error = BoxError::too_many_fields;
      else if (at + key + 4 > limits.bytes)
        reading.error = BoxError::too_large;
      if (reading.error != BoxError::none || need(key + 2)) return reading;
      twice = !keys.insert(all.substr(at, key)).second || twice;
      at += key;
      const std::size_t value = length();
      if (at + value + 2 > limits.bytes) reading.error = BoxError::too_large;
      if (reading.error != BoxError::none || need(value)) return reading;
      at += value;
      ++fields;
    }
    if (fields == 0)
      reading.error = BoxError::empty_box;
    else if (twice)
      reading.error = BoxError::duplicate_key;
    if (reading.error != BoxError::none) return reading;
    reading.boxes.push_back(all.substr(0, at));
    all.remove_prefix(at);
  }
  return reading;
}

void expect_box(const BoxView& view, BytesView bytes) {
  const Box box = view.copy();
  REMSH_EXPECT(box.size() == view.size());
  for (const auto& [key, value] : view) REMSH_EXPECT(box.get(key) == value && view.get(key) == value);
  const Bytes canonical = encode(box);
  REMSH_EXPECT(canonical.size() == bytes.size());
  REMSH_EXPECT(view.is_canonical() == (canonical == bytes));
  BoxDecoder again;
  again.feed(canonical);
  REMSH_EXPECT(again.next() && again.box().is_canonical() && again.box().copy() == box);
  REMSH_EXPECT(!again.next() && again.error() == BoxError::none && !again.is_inside_box());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  constexpr std::array<BoxLimits, 4> all_limits{
      {{}, {.bytes = 64, .fields = 4}, {.bytes = 1024, .fields = 32}, {.bytes = 300, .fields = 2}}};
  const BoxLimits limits = all_limits[input.below(all_limits.size())];
  const std::uint8_t seed = input.byte();
  const BytesView bytes = input.rest();
  const Reading expected = read_plainly(bytes, limits);

  BoxDecoder decoder(limits);
  std::size_t boxes = 0;
  fuzz::in_pieces(bytes, seed, [&](BytesView piece) {
    const Bytes fed(piece);  // just that size, for the address sanitizer
    decoder.feed(fed);
    while (decoder.next()) {
      REMSH_EXPECT(boxes < expected.boxes.size());
      expect_box(decoder.box(), expected.boxes[boxes++]);
    }
    REMSH_EXPECT(decoder.unread().size() < limits.bytes);
  });
  REMSH_EXPECT(boxes == expected.boxes.size());
  REMSH_EXPECT(decoder.error() == expected.error);
  if (expected.error == BoxError::none) REMSH_EXPECT(decoder.is_inside_box() == expected.inside);
  return 0;
}
