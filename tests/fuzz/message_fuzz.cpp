// Messages: what is encoded is one box within the limits, canonical, and says what it should.
#include "base/decimal.hpp"
#include "connection/long_value.hpp"
#include "fuzz/input.hpp"
#include "rpc/message.hpp"
#include "session/session.hpp"

#include <array>
#include <cstring>
#include <optional>

using namespace remsh;
using namespace remsh::rpc;

namespace {

constexpr std::array<std::string_view, 14> keys{"_ask", "_command", "_answer", "op",   "path", "env", "env~0001",
                                                "a",    "z",        "_",       "args", "~",    "o",   "oq"};
constexpr std::array<std::string_view, 4> values{"", "1", "x", "/tmp"};

/// The box that these bytes are.
Box only_box(BytesView bytes) {
  BoxDecoder decoder;
  decoder.feed(bytes);
  REMSH_EXPECT(decoder.next());
  REMSH_EXPECT(decoder.box().is_canonical());
  Box box = decoder.box().copy();
  REMSH_EXPECT(!decoder.next() && decoder.error() == BoxError::none && !decoder.is_inside_box());
  return box;
}

Box content_of(fuzz::Input& input) {
  Box content;
  const std::size_t count = input.below(6);
  for (std::size_t i = 0; i < count; ++i) {
    Bytes key = input.word(keys);
    if (key.empty()) key = Bytes(Box::max_key - input.below(8), 'k');
    content.set(std::move(key), input.flag() ? Bytes(input.size(), 'v') : input.word(values));
  }
  if (input.byte() == 255) {  // more fields than a box has
    for (std::size_t i = 0; i < 1023; ++i) content.set("many" + std::to_string(i), "");
  }
  return content;
}

void expect_merged(const Result<void>& encoded, const Bytes& bytes, const Box& content, const Box& envelope) {
  if (!encoded) {
    REMSH_EXPECT(encoded.failure().code == Errc::too_large || encoded.failure().code == Errc::invalid_argument);
    fuzz::expect_printable(encoded.failure().message);
    return;
  }
  const Box sent = only_box(bytes);
  for (const auto& [key, value] : envelope) REMSH_EXPECT(sent.get(key) == value);
  Box rest;
  for (const auto& [key, value] : sent) {
    if (!envelope.has(key)) rest.set(key, value);
  }
  REMSH_EXPECT(rest.size() >= content.size());
  for (const auto& [key, value] : content) {
    if (key.find('~') != Bytes::npos) return;  // who sends such keys means parts of values
  }
  const auto joined = join_long_values(rest);
  REMSH_EXPECT(joined && *joined == content);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::size_t kind = input.below(5);
  const Bytes tag = make_tag(1 + input.below(65'536));
  Bytes bytes;
  if (kind == 0) {
    const Box content = content_of(input);
    const bool has_op = input.flag();
    const Bytes command = "c" + Bytes(input.bytes(63));
    Box envelope{{"_ask", tag}, {"_command", command}};
    if (has_op) envelope.set("op", tag);
    const auto encoded = encode_call(bytes, command, tag, has_op, content);
    expect_merged(encoded, bytes, content, envelope);
  } else if (kind == 1) {
    const Box content = content_of(input);
    const auto encoded = encode_answer(bytes, tag, content);
    expect_merged(encoded, bytes, content, Box{{"_answer", tag}});
  } else if (kind == 2) {
    Failure failure{static_cast<Errc>(input.below(14)), Bytes(input.size(), 'e'), static_cast<int>(input.below(256))};
    encode_error(bytes, tag, failure);
    const Box sent = only_box(bytes);
    REMSH_EXPECT(sent.get("_error") == tag);
    const Failure read = failure_of(*sent.get("_error_code"), *sent.get("_error_description"));
    REMSH_EXPECT(error_code(read) == *sent.get("_error_code"));
  } else if (kind == 3) {
    Block block;
    const std::size_t count = 1 + input.below(Block::max_payload);
    std::memset(block.payload().data(), 'd', count);
    auto piece = BoxData::plain(std::move(block), count);
    const auto total = input.flag() ? std::optional<std::uint64_t>(input.size()) : std::nullopt;
    const auto stream = static_cast<StreamName>(input.below(stream_count));
    const Bytes op(1 + input.below(16), 'o');
    frame_data(piece, op, stream, total);
    const Box sent = only_box(piece.block().box());
    REMSH_EXPECT(sent.get("_command") == "data" && sent.get("op") == op && sent.get("data") == Bytes(count, 'd'));
    REMSH_EXPECT(stream_name(*sent.get("stream")) == stream && sent.has("total") == total.has_value());
    if (total) REMSH_EXPECT(parse_number(*sent.get("total")) == total);
  } else {
    const auto retry = input.flag() ? std::optional<std::uint64_t>(input.size()) : std::nullopt;
    const Bytes reason(input.size(), 'r');
    encode_goodbye(bytes, reason, retry);
    const Box sent = only_box(bytes);
    REMSH_EXPECT(sent.get("reason") == reason.substr(0, 256) && sent.has("retry") == retry.has_value());
  }
  return 0;
}
