// Compressed data of boxes: any bytes are restored to the size that was said, or refused; and ours come back.
#include "connection/box_data.hpp"
#include "connection/zstd_frame.hpp"

#include "input.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

using namespace remsh;

namespace {

Bytes compressed(BytesView bytes) {
  Block block;
  std::copy(bytes.begin(), bytes.end(), block.payload().begin());
  BoxData data = BoxData::compressed_if_smaller(std::move(block), bytes.size());
  REMSH_EXPECT(data.restored() == bytes.size());
  const Bytes sent(data.block().payload().data(), data.count());
  if (!data.is_compressed()) {
    REMSH_EXPECT(sent == bytes);
    return sent;
  }
  REMSH_EXPECT(sent.size() * max_compression_ratio >= bytes.size() && sent.size() < bytes.size());
  REMSH_EXPECT(decompressed(sent, bytes.size()) == bytes);
  return sent;
}

void take(BytesView data, std::size_t size) {
  const auto frame = zstd_frame_size(data);
  REMSH_EXPECT(!frame || *frame <= data.size());
  const auto restored = decompressed(data, size);
  REMSH_EXPECT(!restored || (frame && restored->size() == size && size <= 65535));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  fuzz::Input input(bytes, count);
  const std::size_t size = input.size();
  if (input.flag()) {
    take(input.rest(), size);
    return 0;
  }
  Bytes text;  // with repetitions, so that it can be compressed
  while (!input.empty() && text.size() < Block::max_payload)
    text.append(1 + input.below(200), static_cast<char>(input.byte()));
  text.resize(std::min(text.size(), Block::max_payload));
  if (text.empty()) return 0;
  Bytes data = compressed(text);
  take(data, text.size());
  data[size % data.size()] = static_cast<char>(static_cast<unsigned char>(data[size % data.size()]) ^ (1U << size % 8));
  take(data, text.size());
  data.resize(size % data.size());
  take(data, text.size());
  return 0;
}
