// The WebSocket of Buildbot's workers: a request is answered or refused the same however it comes, and the messages are
// those that a plain reader finds in the whole of the frames.
#include "buildbot/http_upgrade.hpp"
#include "buildbot/web_socket_frames.hpp"
#include "fuzz/input.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

using namespace remsh;
using namespace remsh::buildbot;

namespace {

using Kind = WebSocketMessage::Kind;
using State = UpgradeReader::State;

struct Messages {
  std::vector<std::pair<Kind, Bytes>> all;
  bool is_broken = false;
};

// --- the request

void expect_refusal(const UpgradeReader& reader) {
  constexpr std::array<int, 7> statuses{400, 403, 405, 414, 426, 431, 505};
  REMSH_EXPECT(std::find(statuses.begin(), statuses.end(), reader.status()) != statuses.end());
  fuzz::expect_printable(reader.why());
  REMSH_EXPECT(reader.user().empty() && reader.password().empty());
  REMSH_EXPECT(http_refusal(reader.status()).starts_with("HTTP/1.1 " + std::to_string(reader.status()) + " "));
}

void read_request(BytesView bytes, std::uint8_t pieces) {
  UpgradeReader whole;
  const State state = whole.feed(bytes);
  UpgradeReader parts;
  State parts_state = State::need_more;
  Bytes behind;  // what is left to the reader of frames
  fuzz::in_pieces(bytes, pieces, [&](BytesView piece) {
    if (parts_state != State::need_more) {
      behind += piece;
      return;
    }
    parts_state = parts.feed(piece);
    if (parts_state == State::complete) behind = parts.rest();
  });
  REMSH_EXPECT(parts_state == state);
  REMSH_EXPECT(parts.status() == whole.status() && parts.why() == whole.why());
  REMSH_EXPECT(parts.user() == whole.user() && parts.password() == whole.password());
  if (state == State::refused) return expect_refusal(whole);
  REMSH_EXPECT(whole.status() == 0 && whole.why().empty());
  if (state == State::need_more) return REMSH_EXPECT(bytes.size() < UpgradeReader::max_head);
  REMSH_EXPECT(behind == whole.rest());
  const BytesView head = bytes.substr(0, bytes.size() - whole.rest().size());
  REMSH_EXPECT(head.size() <= UpgradeReader::max_head);
  REMSH_EXPECT(head.starts_with("GET /") && head.ends_with("\r\n\r\n"));
  const auto answer = whole.answer();
  REMSH_EXPECT(answer.ok());
  REMSH_EXPECT(answer->starts_with("HTTP/1.1 101 ") && answer->ends_with("=\r\n\r\n"));
}

// --- the frames

std::uint64_t number(BytesView bytes) {
  std::uint64_t value = 0;
  for (const char byte : bytes) value = value << 8U | static_cast<unsigned char>(byte);
  return value;
}

/// A frame, read the plain way, from the front of bytes that have all of it.
struct PlainFrame {
  bool is_whole = false;
  bool is_broken = false;
  unsigned first = 0;
  Bytes payload;
};

PlainFrame take_frame(BytesView& bytes, std::size_t max_length) {
  PlainFrame frame;
  if (bytes.size() < 2) return frame;
  frame.first = static_cast<unsigned char>(bytes[0]);
  const unsigned second = static_cast<unsigned char>(bytes[1]);
  const unsigned opcode = frame.first & 0xfU;
  const bool is_control = opcode >= 8;
  frame.is_broken = (frame.first & 0x70U) != 0 || second < 0x80 || (opcode > 2 && opcode < 8) || opcode > 10 ||
                    (is_control && (frame.first < 0x80 || second > 0x80 + 125));
  if (frame.is_broken) return frame;
  const std::size_t more = second == 0xfe ? 2 : second == 0xff ? 8 : 0;
  if (bytes.size() < 2 + more) return frame;
  const std::uint64_t length = more == 0 ? second & 0x7fU : number(bytes.substr(2, more));
  frame.is_broken =
      (more == 2 && length < 126) || (more == 8 && length < 65536) || (!is_control && length > max_length);
  if (frame.is_broken || bytes.size() < 2 + more + 4 + length) return frame;
  const BytesView mask = bytes.substr(2 + more, 4);
  bytes.remove_prefix(2 + more + 4);
  for (std::size_t i = 0; i < length; ++i) frame.payload += static_cast<char>(bytes[i] ^ mask[i % 4]);
  bytes.remove_prefix(static_cast<std::size_t>(length));
  frame.is_whole = true;
  return frame;
}

Messages read_plainly(BytesView bytes, std::size_t max_message) {
  Messages read;
  bool has_begun = false;
  std::pair<Kind, Bytes> unfinished;
  for (;;) {
    const unsigned opcode = bytes.empty() ? 2 : static_cast<unsigned char>(bytes[0]) & 0xfU;
    // Whether a fragment is in its place is known from the two bytes with which the other faults begin.
    const bool is_misplaced = bytes.size() >= 2 && opcode < 8 && has_begun != (opcode == 0);
    const PlainFrame frame = take_frame(bytes, max_message - unfinished.second.size());
    read.is_broken = frame.is_broken || is_misplaced;
    if (read.is_broken || !frame.is_whole) return read;
    if (opcode >= 8) {
      read.all.emplace_back(opcode == 8 ? Kind::close : opcode == 9 ? Kind::ping : Kind::pong, frame.payload);
      continue;
    }
    if (opcode != 0) unfinished.first = opcode == 1 ? Kind::text : Kind::binary;
    unfinished.second += frame.payload;
    has_begun = frame.first < 0x80;
    if (!has_begun) read.all.push_back(std::exchange(unfinished, {}));
  }
}

/// Returns false at a failure.
bool take_messages(FrameReader& reader, Messages& to) {
  for (;;) {
    auto next = reader.next();
    if (!next) {
      REMSH_EXPECT(next.failure().code == Errc::protocol_error);
      fuzz::expect_printable(next.failure().message);
      to.is_broken = true;
      return false;
    }
    if (!next->has_value()) return true;
    to.all.emplace_back((*next)->kind, std::move((*next)->payload));
  }
}

void read_frames(BytesView bytes, std::uint8_t pieces, std::size_t max_message) {
  const Messages plain = read_plainly(bytes, max_message);
  FrameReader reader(max_message);
  Messages read;
  fuzz::in_pieces(bytes, pieces, [&](BytesView piece) {
    reader.feed(piece);
    const bool is_good = take_messages(reader, read);
    REMSH_EXPECT(is_good != read.is_broken);
  });
  REMSH_EXPECT(read.all == plain.all);
  REMSH_EXPECT(read.is_broken == plain.is_broken);
}

/// What a server writes has no mask, so the reader refuses it; with one, it reads it.
void write_frame(Kind kind, BytesView payload) {
  Bytes frame;
  append_frame(frame, kind, payload);
  FrameReader refusing(payload.size());
  refusing.feed(frame);
  REMSH_EXPECT(!refusing.next().ok());
  frame[1] = static_cast<char>(static_cast<unsigned char>(frame[1]) | 0x80U);
  frame.insert(frame.size() - payload.size(), 4, '\0');
  FrameReader reader(payload.size());
  reader.feed(frame);
  const auto message = reader.next();
  REMSH_EXPECT(message.ok() && message->has_value());
  REMSH_EXPECT((*message)->kind == kind && (*message)->payload == payload);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const bool is_request = input.flag();
  const std::uint8_t pieces = input.byte();
  if (is_request) {
    read_request(input.rest(), pieces);
    return 0;
  }
  const std::size_t max_message = input.size();
  const BytesView bytes = input.rest();
  read_frames(bytes, pieces, max_message);
  write_frame(bytes.size() % 2 == 0 ? Kind::binary : Kind::text, bytes);
  write_frame(Kind::ping, bytes.substr(0, 125));
  return 0;
}
