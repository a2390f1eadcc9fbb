// SlaveHandshake: whatever a master sends, the slave answers with well-formed boxes only and knows its end.
#include "auth/slave_handshake.hpp"
#include "fuzz/input.hpp"
#include "fuzz/transcript.hpp"

#include <algorithm>
#include <array>

using namespace remsh;
using namespace remsh::auth;
using Action = SlaveHandshake::Step::Action;

namespace {

constexpr std::array<std::string_view, 15> keys{
    "_answer",     "features", "nonce", "version", "keepalive", "reason", "refused", "retry", "_error_description",
    "_error_code", "_error",   "_ask",  "mac",     "_command",  "session"};
constexpr std::array<std::string_view, 19> values{"1",
                                                  "2",
                                                  "",
                                                  "a",
                                                  "a b",
                                                  "b a",
                                                  "c",
                                                  "10000",
                                                  "0",
                                                  "3600001",
                                                  "18446744073709551615",
                                                  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
                                                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                                  "AUTH",
                                                  "authentication failed",
                                                  "name_in_use",
                                                  "full",
                                                  "go away\n",
                                                  fuzz::proof_wanted};

const Secret key = *Secret::from_bytes(Bytes(Secret::size, 'k'));

void expect_box(BytesView bytes, std::size_t max) {
  BoxDecoder decoder({.bytes = max, .fields = 32});
  decoder.feed(bytes);
  REMSH_EXPECT(decoder.next());
  REMSH_EXPECT(decoder.box().is_canonical() && decoder.box().has("_ask") && decoder.box().has("_command"));
  REMSH_EXPECT(!decoder.next() && decoder.error() == BoxError::none && !decoder.is_inside_box());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::size_t settings = input.byte();
  const std::uint8_t seed = input.byte();
  Registration registration{.name = "worker1", .hostname = "w1", .system = "linux", .software = "remsh 0.1.0"};
  registration.features = {"b", "a"};
  registration.basedir = Bytes(1020 + settings % 8, '/');
  const bool has_key = (settings & 8U) != 0;
  const bool enrols = has_key && (settings & 16U) != 0;
  SlaveHandshake handshake({.registration = registration,
                            .nonce = Bytes(nonce_size, 'a'),
                            .key = has_key ? std::optional(key) : std::nullopt,
                            .enrols = enrols});
  fuzz::Transcript transcript;
  const Bytes hello = handshake.start();
  expect_box(hello, 1024);
  transcript.add(hello);
  bool is_proven = !has_key;

  int sent = 0;
  bool over = false;
  int late = 0;  // pieces behind the end
  const auto feed = [&](BytesView piece) {
    if (over && ++late > 3) return;
    const Bytes fed(piece);  // just that size, for the address sanitizer
    const auto step = handshake.feed(fed);
    fuzz::expect_printable(handshake.at_end().message);
    REMSH_EXPECT(!over || step.action == Action::failed);
    switch (step.action) {
      case Action::read: REMSH_EXPECT(step.bytes.empty()); break;
      case Action::send:
        REMSH_EXPECT(++sent == 1);
        expect_box(step.bytes, 3072);
        transcript.add(step.bytes);
        break;
      case Action::enrolled:
        REMSH_EXPECT(sent == 1 && is_proven && enrols && step.new_key && step.bytes.empty());
        over = true;
        break;
      case Action::open:
        REMSH_EXPECT(sent == 1 && is_proven && !enrols);
        REMSH_EXPECT(step.keepalive.count() >= 1 && step.keepalive <= max_keepalive);
        REMSH_EXPECT(fed.ends_with(step.bytes));
        for (const auto& feature : step.features) REMSH_EXPECT(feature == "a" || feature == "b");
        over = true;
        break;
      case Action::refused:
        REMSH_EXPECT(sent == 1 && is_proven);
        if (step.retry) REMSH_EXPECT(step.retry->count() >= 0 && step.retry->count() <= UINT32_MAX);
        fuzz::expect_printable(step.failure.message);
        over = true;
        break;
      case Action::failed:
        REMSH_EXPECT(step.failure.code == Errc::auth_failed || step.failure.code == Errc::protocol_error);
        fuzz::expect_printable(step.failure.message);
        over = true;
        break;
    }
  };

  if (settings < 128) {
    fuzz::in_pieces(input.rest(), seed, feed);
  } else {  // boxes, each of which comes alone
    while (!input.empty()) {
      Bytes box = input.box(keys, values);
      if (sent == 0) {
        transcript.add(box);
      } else if (auto proof = transcript.prove(box, key, "master"); proof && !over) {
        is_proven = true;
        box = std::move(*proof);
      }
      fuzz::in_pieces(box, seed, feed);
    }
  }
  return 0;
}
