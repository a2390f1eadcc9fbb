// A stream of messages that arrives in pieces of any size: the messages are those that a plain reader finds in the
// whole of it. And proofs: nobody is proven by anything but the digest of the key.
#include "fuzz/input.hpp"
#include "messages/hash_name.hpp"
#include "messages/message_reader.hpp"
#include "messages/proof.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

using namespace remsh;
using namespace remsh::messages;

namespace {

constexpr std::uint64_t most = 512;

/// What a stream has, read the plain way.
struct Plain {
  std::vector<Bytes> messages;
  MessageReader::Next end = MessageReader::Next::bytes;
};

std::uint64_t number(BytesView bytes) {
  std::uint64_t value = 0;
  for (const char byte : bytes) value = value << 8U | static_cast<unsigned char>(byte);
  return value;
}

Plain read_plainly(BytesView stream) {
  Plain plain;
  for (;;) {
    if (stream.size() < 4) return plain;
    std::uint64_t size = number(stream.substr(0, 4));
    std::size_t header = 4;
    if (size == 0xffffffff) {
      if (stream.size() < 12) return plain;
      size = number(stream.substr(4, 8));
      header = 12;
    } else if (size > 0x7fffffff) {
      plain.end = MessageReader::Next::broken;
      return plain;
    }
    if (size > most) {
      plain.end = MessageReader::Next::too_large;
      return plain;
    }
    if (stream.size() - header < size) return plain;
    plain.messages.emplace_back(stream.substr(header, size));
    stream.remove_prefix(header + size);
  }
}

/// Feeds the messages to one side of a proof. It may be made only by a digest of the key.
void prove(MutualProof::End end, const std::vector<Bytes>& messages, bool allow_md5) {
  const AuthKey key("secret");
  const Bytes nonce(40, 'n');
  const Bytes challenge = "{sha256}" + nonce;
  MutualProof proof(end, key, nonce, allow_md5);
  REMSH_EXPECT(proof.begin().empty() == (end == MutualProof::End::client));
  bool has_good_digest = false;
  for (const Bytes& message : messages) {
    BytesView rest = message;
    const auto hash = take_hash_name(rest);
    if (hash && rest == *hmac(*hash, key.bytes(), challenge) && (allow_md5 || *hash != Hash::md5))
      has_good_digest = true;
    if (allow_md5 && message == *hmac(Hash::md5, key.bytes(), challenge)) has_good_digest = true;
    const ProofStep step = proof.take(message);
    REMSH_EXPECT(step.send.size() <= most_in_proof);
    REMSH_EXPECT(step.send.find("secret") == Bytes::npos);
    if (step.then == ProofStep::Then::done) REMSH_EXPECT(has_good_digest);
    if (step.send == "#WELCOME#") REMSH_EXPECT(has_good_digest);
    if (step.then == ProofStep::Then::close) fuzz::expect_printable(step.failure.message);
    if (step.then != ProofStep::Then::read) return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::size_t piece = 1 + input.byte() % 64;
  const std::uint8_t settings = input.byte();
  const Bytes stream(input.rest());
  const Plain plain = read_plainly(stream);

  MessageReader reader;
  std::vector<Bytes> messages;
  std::vector<char> lent(settings);
  BytesView rest = stream;
  MessageReader::Next next{};
  for (;;) {
    if (settings % 2 == 1 && !reader.is_in_lent()) reader.lend(lent);
    next = reader.next(most);
    if (next == MessageReader::Next::message) {
      const std::size_t its_size = static_cast<std::size_t>(reader.size());
      const bool is_in_lent = reader.is_in_lent();
      Bytes message = reader.take();
      messages.push_back(is_in_lent ? Bytes(lent.data(), its_size) : std::move(message));
      continue;
    }
    if (settings % 3 == 1) reader.take_back();
    if (next != MessageReader::Next::bytes || rest.empty()) break;
    const auto room = reader.room();
    REMSH_EXPECT(!room.empty());
    const std::size_t count = std::min({piece, room.size(), rest.size()});
    std::copy_n(rest.data(), count, room.data());
    reader.received(count);
    rest.remove_prefix(count);
  }
  REMSH_EXPECT(messages == plain.messages);
  REMSH_EXPECT(next == plain.end);
  prove(MutualProof::End::listener, messages, settings % 5 == 0);
  prove(MutualProof::End::client, messages, settings % 5 == 0);
  return 0;
}
