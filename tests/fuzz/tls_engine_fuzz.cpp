// TlsEngine: whatever is done to the bytes between two ends, or said in place of one, neither is ever open with
// somebody else, and what arrives is what was sent.
//
// OpenSSL's random numbers are not made up by the fuzzer, so one input does not always take the same way.
#include "fuzz/input.hpp"
#include "support/tls.hpp"
#include "transport/tls_engine.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>

using namespace remsh;
using Status = TlsEngine::Status;
using Context = std::shared_ptr<const TlsContext>;

namespace {

constexpr const char* identity = "w1:0a1b2c3d";

struct Contexts {
  Context server, by_key, by_certificate;
};

/// Made once: nothing in them changes.
const Contexts& contexts() {
  static const Contexts made = [] {
    const auto certificate = test::make_certificate("DNS:localhost");
    const TlsIdentity shown{certificate.certificate, certificate.key};
    const TlsTuning often{.records_per_key = 2};
    return Contexts{*TlsContext::server(test::one_key(identity, test::key_of('k')), &shown, often),
                    *TlsContext::client(identity, test::key_of('k'), often),
                    *TlsContext::client(TlsTrust{certificate.certificate, "localhost"}, often)};
  }();
  return made;
}

/// One end, which says `words` as soon as it is open.
class End {
 public:
  End(Context context, std::string words) : engine_(std::move(context)), words_(std::move(words)) {}

  /// Takes bytes; gives what it wants to be sent.
  Bytes step(BytesView came) {
    const Bytes copy(came);  // just that size, for the address sanitizer
    BytesView rest = copy;
    if (!is_open_ && !is_over_) {
      take(engine_.handshake(rest));
      is_open_ = !is_over_ && !waits_;
      if (is_open_) {
        for (const char word : words_) REMSH_EXPECT(engine_.write(BytesView(&word, 1)) || failed());
      }
    }
    while (is_open_ && !is_over_) {
      std::array<char, 700> buffer;
      std::size_t size = 0;
      const Status status = engine_.read(rest, buffer, size);
      REMSH_EXPECT(size <= buffer.size());
      got_.append(buffer.data(), size);
      take(status);
      if (status != Status::ok) break;
    }
    if (waits_ && !is_over_) REMSH_EXPECT(rest.empty());
    if (failed()) {
      fuzz::expect_printable(engine_.failure().message);
      REMSH_EXPECT(is_open_ || engine_.handshake(rest) == Status::failed);
    }
    Bytes out(engine_.output());
    engine_.sent(out.size());
    REMSH_EXPECT(engine_.output().empty());
    return out;
  }

  [[nodiscard]] bool is_open() const { return is_open_; }
  [[nodiscard]] bool failed() const { return !engine_.failure().message.empty(); }
  [[nodiscard]] const TlsEngine& engine() const { return engine_; }
  [[nodiscard]] const std::string& got() const { return got_; }
  [[nodiscard]] const std::string& words() const { return words_; }

 private:
  void take(Status status) {
    waits_ = status == Status::want_input;
    is_over_ = status == Status::failed || status == Status::ended;
    REMSH_EXPECT((status == Status::failed) == failed());
  }

  TlsEngine engine_;
  const std::string words_;
  std::string got_;
  bool is_open_ = false;
  bool is_over_ = false;
  bool waits_ = false;
};

/// Changes what is under way, as the input says; gives whether it did.
bool tamper(Bytes& bytes, fuzz::Input& input) {
  const Bytes before = bytes;
  for (std::size_t edits = input.below(4); edits > 0 && !bytes.empty(); --edits) {
    const std::size_t at = input.below(std::min<std::size_t>(bytes.size(), 65'536));
    switch (input.below(5)) {
      case 0: bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ (1U << input.below(8))); break;
      case 1: bytes[at] = static_cast<char>(input.byte()); break;
      case 2: bytes.resize(at); break;
      case 3: bytes.insert(at, input.bytes(300)); break;
      case 4: bytes += bytes.substr(at); break;  // said again
    }
  }
  return bytes != before;
}

void expect_prefix(const std::string& got, const std::string& sent) { REMSH_EXPECT(got == sent.substr(0, got.size())); }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::size_t settings = input.byte();
  const bool by_key = (settings & 1U) != 0;
  const auto& all = contexts();
  End client(by_key ? all.by_key : all.by_certificate, "from the client");
  End server(all.server, "from the server");

  if ((settings & 2U) != 0) {  // a stranger, with bytes of its own
    End& end = (settings & 4U) != 0 ? client : server;
    end.step({});
    fuzz::in_pieces(input.rest(), static_cast<std::uint8_t>(settings >> 3U), [&](BytesView piece) { end.step(piece); });
    REMSH_EXPECT(!end.is_open());
    return 0;
  }

  bool is_touched = false;
  Bytes to_server = client.step({});
  for (int turns = 0; turns < 40 && !to_server.empty(); ++turns) {
    is_touched |= tamper(to_server, input);
    Bytes to_client = server.step(to_server);
    is_touched |= tamper(to_client, input);
    to_server = client.step(to_client);
  }
  expect_prefix(client.got(), server.words());
  expect_prefix(server.got(), client.words());
  if (client.is_open() && server.is_open()) {
    REMSH_EXPECT(client.engine().exporter() == server.engine().exporter());
    REMSH_EXPECT(server.engine().identity() == (by_key ? identity : ""));
  }
  if (!is_touched) REMSH_EXPECT(client.got() == server.words() && server.got() == client.words());
  if (server.is_open()) REMSH_EXPECT(client.is_open());  // its last word is the client's Finished
  return 0;
}
