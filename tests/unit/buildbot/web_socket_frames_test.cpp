// The frames of Buildbot's workers: recorded ones, each kind of message, and all that is refused.
#include "buildbot/web_socket_frames.hpp"

#include "support/hex.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace web_socket_frames_test {

using namespace remsh;
using namespace remsh::buildbot;

using Kind = WebSocketMessage::Kind;

namespace {

/// A frame of a client: its first byte, the length in the bytes of `length`, and the payload, masked.
Bytes frame(unsigned first, const std::string& length, BytesView payload) {
  const Bytes mask = "\x37\xfa\x21\x3d";
  Bytes bytes(1, static_cast<char>(first));
  bytes += test::from_hex(length) + mask;
  for (std::size_t i = 0; i < payload.size(); ++i) bytes += static_cast<char>(payload[i] ^ mask[i % 4]);
  return bytes;
}

Bytes short_frame(unsigned first, BytesView payload) {
  return frame(first, test::to_hex(Bytes(1, static_cast<char>(0x80U + payload.size()))), payload);
}

using Messages = std::vector<std::pair<Kind, Bytes>>;

struct Read {
  Messages messages;
  std::string why;  // of a failure
};

/// What a reader finds in bytes that come in pieces of this size.
Read read_in_pieces(BytesView bytes, std::size_t piece, std::size_t max_message) {
  FrameReader reader(max_message);
  Read read;
  while (!bytes.empty()) {
    reader.feed(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
    for (;;) {
      auto next = reader.next();
      if (!next) {
        CHECK(next.failure().code == Errc::protocol_error);
        CHECK(reader.next().failure().message == next.failure().message);
        read.why = next.failure().message;
        return read;
      }
      if (!next->has_value()) break;
      read.messages.emplace_back((*next)->kind, (*next)->payload);
    }
  }
  return read;
}

/// The same, for pieces of each size.
Read read_frames(const Bytes& bytes, std::size_t max_message = 1000) {
  Read whole = read_in_pieces(bytes, bytes.size(), max_message);
  for (std::size_t piece = 1; piece < std::min<std::size_t>(bytes.size(), 200); ++piece) {
    const Read again = read_in_pieces(bytes, piece, max_message);
    CHECK(again.messages == whole.messages);
    CHECK(again.why == whole.why);
  }
  return whole;
}

}  // namespace

TEST_CASE("the frames of a worker are read, wherever they are cut") {
  // The first two are of a worker of Buildbot 3.7, the third of one of 4.3.
  const Bytes frames = test::from_hex(
      "82a1a8f389982b51e6e80081ecebd89ce7ebcd59fafdd9ace7edc591eceaa855fbfddb86e5ec68"
      "82accb2f56824f8d39f2634c39efbb4333f6ae8b37f0ac5c9628a8403befaa4132dda24bf7b2615c33f3944123efa94a2483"
      "82a1d6a8e923550a86537eda8c50a6c78750b3029a46a7f78756bbca8c51d60e9b46a5dd855716");
  const Bytes response = test::from_hex("83a26f70a8726573706f6e7365aa7365715f6e756d62657200a6726573756c74c0");
  const Bytes complete =
      test::from_hex("84a26f70a8636f6d706c657465a461726773c0aa636f6d6d616e645f6964a130aa7365715f6e756d62657201");
  const Messages expected{{Kind::binary, response}, {Kind::binary, complete}, {Kind::binary, response}};
  CHECK(read_frames(frames).messages == expected);
  for (std::size_t cut = 0; cut < frames.size(); ++cut) {
    CAPTURE(cut);
    const Read part = read_in_pieces(BytesView(frames).substr(0, cut), 1 + cut, 1000);
    CHECK(part.why.empty());
    CHECK(part.messages.size() == (cut < 39 ? 0U : cut < 39 + 50 ? 1U : 2U));
  }
}

TEST_CASE("each kind of message is read, also without a payload") {
  const Bytes empty =
      "\x82\x80"
      "abcd\x81\x80"
      "abcd\x88\x80"
      "abcd\x89\x80"
      "abcd\x8a\x80"
      "abcd";
  CHECK(read_frames(empty, 0).messages ==
        Messages{{Kind::binary, ""}, {Kind::text, ""}, {Kind::close, ""}, {Kind::ping, ""}, {Kind::pong, ""}});
  // RFC 6455, section 5.7
  CHECK(read_frames(test::from_hex("818537fa213d7f9f4d5158")).messages == Messages{{Kind::text, "Hello"}});
  CHECK(read_frames(test::from_hex("898537fa213d7f9f4d5158")).messages == Messages{{Kind::ping, "Hello"}});
  CHECK(read_frames(short_frame(0x88, "\x03\xe8")).messages == Messages{{Kind::close, "\x03\xe8"}});
}

TEST_CASE("fragments are put together, and control frames may come between them") {
  const Bytes frames = short_frame(0x01, "Hel") + short_frame(0x89, "a ping") + short_frame(0x00, "") +
                       short_frame(0x00, "l") + short_frame(0x8a, "") + short_frame(0x80, "o") + short_frame(0x02, "") +
                       short_frame(0x80, "") + short_frame(0x82, "next");
  CHECK(
      read_frames(frames).messages ==
      Messages{
          {Kind::ping, "a ping"}, {Kind::pong, ""}, {Kind::text, "Hello"}, {Kind::binary, ""}, {Kind::binary, "next"}});
}

TEST_CASE("lengths are read in their shortest form, and refused in another") {
  struct Case {
    std::size_t size;
    std::string length;
  };
  for (const Case& each : std::vector<Case>{{125, "fd"},
                                            {126, "fe007e"},
                                            {255, "fe00ff"},
                                            {256, "fe0100"},
                                            {65535, "feffff"},
                                            {65536, "ff0000000000010000"}}) {
    CAPTURE(each.size);
    const Bytes payload(each.size, 'x');
    const Bytes bytes = frame(0x82, each.length, payload);
    for (const std::size_t piece : {bytes.size(), std::size_t{4096}, std::size_t{1}}) {
      CHECK(read_in_pieces(bytes, piece, each.size).messages == Messages{{Kind::binary, payload}});
    }
  }
  for (const char* const length : {"fe0000", "fe0001", "fe007d", "ff0000000000000000", "ff000000000000007d",
                                   "ff000000000000007e", "ff000000000000ffff"}) {
    CAPTURE(length);
    CHECK(read_frames(frame(0x82, length, "")).why ==
          "the frame of a WebSocket has a length that is not in its shortest form");
  }
}

TEST_CASE("a message has at most so many bytes, all its fragments together") {
  const std::string words = "the frame of a WebSocket makes a message of more than 10 bytes";
  CHECK(read_frames(short_frame(0x82, Bytes(10, 'x')), 10).messages == Messages{{Kind::binary, Bytes(10, 'x')}});
  CHECK(read_frames(short_frame(0x82, Bytes(11, 'x')), 10).why == words);
  CHECK(read_frames(short_frame(0x02, "12345") + short_frame(0x80, "67890"), 10).messages ==
        Messages{{Kind::binary, "1234567890"}});
  CHECK(read_frames(short_frame(0x02, "12345") + short_frame(0x80, "678901"), 10).why == words);
  CHECK(read_frames(short_frame(0x01, "1234567890") + short_frame(0x00, "") + short_frame(0x80, "1"), 10).why == words);
  // Control frames have their own limit, and count for no message.
  CHECK(read_frames(short_frame(0x02, "12345") + short_frame(0x89, Bytes(125, 'p')) + short_frame(0x80, "67890"), 10)
            .messages == Messages{{Kind::ping, Bytes(125, 'p')}, {Kind::binary, "1234567890"}});
  // Each message counts for itself.
  CHECK(read_frames(short_frame(0x82, Bytes(10, 'x')) + short_frame(0x82, Bytes(10, 'y')), 10).messages.size() == 2);
  // A length is refused before its payload comes, and the mask.
  FrameReader reader(1'000'000);
  reader.feed(test::from_hex("82ff00000000000f4240"));
  REQUIRE(reader.next().ok());
  FrameReader beyond(1'000'000);
  beyond.feed(test::from_hex("82ff00000000000f4241"));
  CHECK_FALSE(beyond.next().ok());
  FrameReader largest(1'000'000);
  largest.feed(test::from_hex("82ffffffffffffffffff"));
  CHECK_FALSE(largest.next().ok());
}

TEST_CASE("a frame that breaks the protocol is refused by its first two bytes") {
  struct Case {
    std::string hex;
    std::string words;
  };
  for (const Case& each : std::vector<Case>{
           {"c280", "has a reserved bit"},
           {"a280", "has a reserved bit"},
           {"9280", "has a reserved bit"},
           {"8380", "has a reserved opcode"},
           {"8780", "has a reserved opcode"},
           {"8b80", "has a reserved opcode"},
           {"8f80", "has a reserved opcode"},
           {"8200", "is not masked"},
           {"8205", "is not masked"},
           {"8900", "is not masked"},
           {"0880", "is a fragment of a control message"},
           {"0980", "is a fragment of a control message"},
           {"0a80", "is a fragment of a control message"},
           {"88fe", "is a control frame of more than 125 bytes"},
           {"89fe", "is a control frame of more than 125 bytes"},
           {"8aff", "is a control frame of more than 125 bytes"},
           {"8080", "continues a message that has not begun"},
           {"0080", "continues a message that has not begun"},
       }) {
    CAPTURE(each.hex);
    const Read bad = read_frames(test::from_hex(each.hex));
    CHECK(bad.why == "the frame of a WebSocket " + each.words);
    // After a good message, too.
    const Read second = read_frames(short_frame(0x82, "good") + test::from_hex(each.hex));
    CHECK(second.messages == Messages{{Kind::binary, "good"}});
    CHECK(second.why == bad.why);
  }
  for (const char* const hex : {"8280", "8180", "0280", "0180"}) {
    CAPTURE(hex);
    CHECK(read_frames(short_frame(0x02, "begun") + test::from_hex(hex)).why ==
          "the frame of a WebSocket begins a message inside another");
  }
  CHECK(read_frames(short_frame(0x02, "a") + short_frame(0x80, "b") + short_frame(0x80, "c")).why ==
        "the frame of a WebSocket continues a message that has not begun");
}

TEST_CASE("after a failure nothing more is read") {
  FrameReader reader(1000);
  reader.feed(test::from_hex("8200"));
  REQUIRE_FALSE(reader.next().ok());
  reader.feed(short_frame(0x82, "good"));
  const auto next = reader.next();
  REQUIRE_FALSE(next.ok());
  CHECK(next.failure().message == "the frame of a WebSocket is not masked");
}

TEST_CASE("many small frames at once are read one after the other") {
  Bytes frames;
  for (int i = 0; i < 50'000; ++i) frames += short_frame(0x82, Bytes(1, static_cast<char>(i)));
  const Messages messages = read_in_pieces(frames, frames.size(), 1000).messages;
  REQUIRE(messages.size() == 50'000);
  for (std::size_t i = 0; i < messages.size(); ++i) REQUIRE(messages[i].second[0] == static_cast<char>(i));
}

TEST_CASE("the frames of a server are not masked and have the shortest length") {
  struct Case {
    Kind kind;
    std::size_t size;
    std::string head;  // as autobahn 22.7.1 writes it
  };
  for (const Case& each : std::vector<Case>{
           {Kind::binary, 0, "8200"},
           {Kind::binary, 1, "8201"},
           {Kind::binary, 125, "827d"},
           {Kind::binary, 126, "827e007e"},
           {Kind::binary, 65535, "827effff"},
           {Kind::binary, 65536, "827f0000000000010000"},
           {Kind::text, 3, "8103"},
           {Kind::close, 2, "8802"},
           {Kind::ping, 125, "897d"},
           {Kind::pong, 4, "8a04"},
       }) {
    CAPTURE(each.head);
    Bytes bytes = "before";
    append_frame(bytes, each.kind, Bytes(each.size, 'x'));
    CHECK(bytes == "before" + test::from_hex(each.head) + Bytes(each.size, 'x'));
  }
}

}  // namespace web_socket_frames_test
