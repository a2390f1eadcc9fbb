// MasterHandshake: whatever a stranger sends, the master answers with well-formed boxes only and knows its end.
#include "auth/master_handshake.hpp"
#include "fuzz/input.hpp"
#include "fuzz/transcript.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>

using namespace remsh;
using namespace remsh::auth;
using Action = MasterHandshake::Step::Action;

namespace {

constexpr std::array<std::string_view, 16> keys{"_ask",    "_command", "features", "name",   "nonce", "versions",
                                                "basedir", "hostname", "software", "system", "mac",   "kid",
                                                "type",    "version",  "enrol",    "session"};
constexpr std::array<std::string_view, 19> values{"1",
                                                  "2",
                                                  "hello",
                                                  "prove",
                                                  "",
                                                  "a b",
                                                  "worker1",
                                                  "2 3",
                                                  "10 2",
                                                  "b a",
                                                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                                  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
                                                  "/srv",
                                                  "linux",
                                                  "0123abcd",
                                                  "register",
                                                  "4962dc04",
                                                  "2da4e400",
                                                  fuzz::proof_wanted};

Secret counted(unsigned char first) {
  Bytes bytes;
  while (bytes.size() < Secret::size) bytes += static_cast<char>(first++);
  return *Secret::from_bytes(bytes);
}
const Secret key = counted(0x00);         // its id is 4962dc04
const Secret invitation = counted(0x80);  // 2da4e400

/// worker1 has a key and an invitation.
std::shared_ptr<const MasterKeys> worker_keys() {
  const auto find = [](BytesView name, BytesView id) -> KeyAnswer {
    if (name != "worker1") return {.reason = "unknown name"};
    if (id == "4962dc04") return {.key = key};
    if (id == "2da4e400") return {.key = invitation, .is_invitation = true};
    return {};
  };
  return std::make_shared<MasterKeys>(MasterKeys{.decoy = counted(0x40), .find = find});
}

void expect_box(BytesView bytes, BytesView envelope, std::size_t max) {
  BoxDecoder decoder({.bytes = max, .fields = 32});
  decoder.feed(bytes);
  REMSH_EXPECT(decoder.next());
  REMSH_EXPECT(decoder.box().is_canonical() && decoder.box().has(envelope));
  REMSH_EXPECT(!decoder.next() && decoder.error() == BoxError::none && !decoder.is_inside_box());
}

void expect_registration(const Registration& registration) {
  REMSH_EXPECT(is_slave_name(registration.name));
  REMSH_EXPECT(registration.hostname.size() <= 255 && registration.system.size() <= 64);
  REMSH_EXPECT(registration.software.size() <= 64 && registration.basedir.size() <= 1024);
  const auto& features = registration.features;
  REMSH_EXPECT(std::is_sorted(features.begin(), features.end()));
  for (const auto& feature : features) REMSH_EXPECT(feature == "a" || feature == "b");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::size_t settings = input.byte();
  const bool has_keys = (settings & 4U) != 0;
  MasterHandshake handshake({.features = {"b", "a"},
                             .nonce = Bytes(nonce_size, 'b'),
                             .keyless_allowed = settings != 1,
                             .keys = has_keys ? worker_keys() : nullptr,
                             .enrolment_allowed = (settings & 8U) != 0});
  fuzz::Transcript transcript;
  bool is_proven = false;
  const std::uint8_t seed = input.byte();

  int sent = 0;
  bool over = false;
  int late = 0;  // pieces behind the end
  const auto feed = [&](BytesView piece) {
    if (over && ++late > 3) return;
    const Bytes fed(piece);  // just that size, for the address sanitizer
    auto step = handshake.feed(fed);
    fuzz::expect_printable(handshake.at_end().message);
    REMSH_EXPECT(!over || step.action == Action::close);
    switch (step.action) {
      case Action::read: REMSH_EXPECT(step.bytes.empty()); break;
      case Action::send:
        REMSH_EXPECT(++sent == 1);
        expect_box(step.bytes, "_answer", 1024);
        transcript.add(step.bytes);
        break;
      case Action::registered:
        REMSH_EXPECT(sent == 1);
        expect_registration(handshake.registration());
        REMSH_EXPECT(handshake.registration().key_id.empty() == !is_proven);
        if (is_proven) REMSH_EXPECT(handshake.registration().name == "worker1");
        if (handshake.is_enrolment()) {
          REMSH_EXPECT(is_proven && handshake.registration().key_id == "2da4e400");
          expect_box(handshake.enrol().welcome, "_answer", 1024);
          expect_box(handshake.refuse(Refusal::full, ""), "_answer", 1024);
        } else if ((settings & 2U) != 0) {
          expect_box(handshake.open(std::chrono::milliseconds(settings)), "_answer", 1024);
        } else {
          expect_box(handshake.refuse(Refusal::full, Bytes(300, static_cast<char>(settings))), "_answer", 1024);
        }
        over = true;
        break;
      case Action::fail:
        expect_box(step.bytes, "_error", 1024);
        fuzz::expect_printable(step.failure.message);
        over = true;
        break;
      case Action::close:
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
      } else if (!over) {
        const bool is_invited = handshake.registration().key_id == "2da4e400";
        if (auto proof = transcript.prove(box, is_invited ? invitation : key, "slave")) {
          is_proven = true;
          box = std::move(*proof);
        }
      }
      fuzz::in_pieces(box, seed, feed);
    }
  }
  return 0;
}
