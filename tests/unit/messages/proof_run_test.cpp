// ProofRun: proofs over a stream, in pieces, cut at every byte, and against peers that do not take part.
#include "messages/proof_run.hpp"

#include <doctest/doctest.h>
#include <remsh/transport/memory.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

using namespace remsh;
using namespace remsh::messages;
using namespace std::chrono_literals;

namespace {

const AuthKey key("secret");
constexpr std::size_t all = std::numeric_limits<std::size_t>::max();

/// One side of the proof, over one end of a connection; the other end is the test's.
struct Side {
  explicit Side(MutualProof::End which, std::size_t capacity = 4096) {
    auto [its_end, far_end] = memory_pair(capacity);
    stream = MessageStream::over(std::move(its_end));
    far = std::move(far_end);
    run.emplace(stream, std::make_unique<MutualProof>(which, key, new_nonce(), false));
  }

  void step() {
    if (!result || (result->ok() && !**result)) result = run->step(0s);
  }
  [[nodiscard]] bool is_made() const { return result && result->ok() && **result; }
  [[nodiscard]] bool has_failed() const { return result && !result->ok(); }

  std::shared_ptr<MessageStream> stream;
  std::unique_ptr<Transport> far;
  std::optional<ProofRun> run;
  std::optional<Result<bool>> result;
};

/// Moves bytes from one to the other, at most `most`; returns how many.
std::size_t move(Side& from, Side& to, std::size_t most) {
  std::array<char, 64> buffer{};
  if (most == 0) return 0;
  const IoResult read = from.far->read_some(std::span(buffer).first(std::min(most, buffer.size())), 0s);
  if (read.status != IoResult::Status::ok) return 0;
  const std::string_view bytes(buffer.data(), read.bytes);
  REQUIRE(to.far->write_some({&bytes, 1}).bytes == read.bytes);
  return read.bytes;
}

/// Plays both sides; after this number of bytes of the listener, or of the client, everything is cut. Returns how many
/// bytes each has sent.
std::pair<std::size_t, std::size_t> play(Side& listener, Side& client, std::size_t of_listener, std::size_t of_client,
                                         std::size_t piece = 64) {
  std::pair<std::size_t, std::size_t> moved{0, 0};
  for (int idle = 0; idle < 3; ++idle) {
    listener.step();
    client.step();
    const std::size_t there = move(listener, client, std::min(piece, of_listener - moved.first));
    const std::size_t back = move(client, listener, std::min(piece, of_client - moved.second));
    moved.first += there;
    moved.second += back;
    if (there + back > 0) idle = 0;
  }
  if (of_listener != all || of_client != all) {
    listener.far->shutdown();
    client.far->shutdown();
    listener.step();
    client.step();
  }
  return moved;
}

}  // namespace

TEST_CASE("a proof is made, whatever the pieces in which its bytes come") {
  for (const std::size_t piece : {1UL, 2UL, 3UL, 7UL, 64UL}) {
    Side listener(MutualProof::End::listener, piece);  // as little may be on the way at once
    Side client(MutualProof::End::client, piece);
    const auto sent = play(listener, client, all, all, piece);
    CHECK(listener.is_made());
    CHECK(client.is_made());
    CHECK(sent.first == 63 + 13 + 44);
    CHECK(sent.second == 44 + 63 + 13);
  }
}

TEST_CASE("a proof that is cut at any byte fails at once on the side that lacks something") {
  const std::size_t length = 63 + 13 + 44;
  for (std::size_t at = 0; at < length; ++at) {
    CAPTURE(at);
    Side listener(MutualProof::End::listener);
    Side client(MutualProof::End::client);
    play(listener, client, at, all);
    CHECK(client.has_failed());
    CHECK_FALSE(listener.is_made());
    CHECK(listener.has_failed());

    Side other_listener(MutualProof::End::listener);
    Side other_client(MutualProof::End::client);
    play(other_listener, other_client, all, at);
    CHECK(other_listener.has_failed());
    CHECK(other_listener.result->failure().code == Errc::connection_lost);
    // A client that has sent its welcome is done; only that may be missing at the other end.
    CHECK(other_client.is_made() == (at >= 44 + 63));
  }
}

TEST_CASE("what follows the proof is the first message") {
  Side listener(MutualProof::End::listener);
  Side client(MutualProof::End::client);
  play(listener, client, all, all);
  REQUIRE(client.is_made());
  std::shared_ptr<Outgoing> rest;
  REQUIRE(*client.stream->send("hello", rest));
  while (move(client, listener, all) > 0) {
  }
  REQUIRE(*listener.stream->receive(100, 0s));
  CHECK(listener.stream->reader().take() == "hello");
}

TEST_CASE("a message of a proof has at most 256 bytes, and a size that makes sense") {
  for (const std::string_view bytes : {std::string_view("\0\0\1\1", 4), std::string_view("\xff\xff\xff\xfe", 4),
                                       std::string_view("\xff\xff\xff\xff\0\0\0\1\0\0\0\0", 12)}) {
    Side listener(MutualProof::End::listener);
    listener.step();
    REQUIRE(listener.far->write_some({&bytes, 1}).bytes == bytes.size());
    listener.step();
    REQUIRE(listener.has_failed());
    CHECK(listener.result->failure().code == Errc::auth_failed);
  }
}
