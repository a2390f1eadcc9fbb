#include "auth/box_reader.hpp"

#include "base/format.hpp"

#include <algorithm>
#include <array>

namespace remsh::auth {
namespace {

constexpr std::size_t max_fields = 32;

/// Keys reserved for resuming, in a later version. They are valid only with the feature `resume`, which is never in
/// force here.
constexpr std::array reserved_keys{BytesView("attempt"), BytesView("received"), BytesView("resume_mac"),
                                   BytesView("session"), BytesView("window")};

/// The first two bytes of a peer that speaks another protocol: they are not a valid key length.
struct OtherProtocol {
  BytesView opening;
  const char* name;
};
constexpr std::array other_protocols{OtherProtocol{"GE", "an HTTP request"},
                                     OtherProtocol{"PO", "an HTTP request"},
                                     OtherProtocol{"HE", "an HTTP request"},
                                     OtherProtocol{"PU", "an HTTP request"},
                                     OtherProtocol{"OP", "an HTTP request"},
                                     OtherProtocol{"CO", "an HTTP request"},
                                     OtherProtocol{"PR", "an HTTP/2 request"},
                                     OtherProtocol{"HT", "an HTTP answer"},
                                     OtherProtocol{"SS", "an SSH greeting"},
                                     OtherProtocol{"\x16\x03", "a TLS greeting, and there is no TLS here"},
                                     OtherProtocol{"\x15\x03", "a TLS alert, and there is no TLS here"}};

}  // namespace

void BoxReader::expect(std::size_t bytes, const char* place) {
  decoder_ = BoxDecoder({.bytes = bytes, .fields = max_fields});
  place_ = place;
}

Result<const BoxView*> BoxReader::feed(BytesView bytes) {
  opening_.append(bytes.substr(0, 2 - opening_.size()));
  decoder_.feed(bytes);
  if (decoder_.next()) return &decoder_.box();
  if (decoder_.error() == BoxError::none) return nullptr;
  if (decoder_.error() == BoxError::key_too_long) {
    for (const auto& [opening, name] : other_protocols) {
      if (opening_ == opening) return broken(formatted("sent what looks like {}", name));
    }
  }
  return broken(formatted("sent {}", to_string(decoder_.error())));
}

Result<void> BoxReader::check_form(const BoxView& box, std::initializer_list<BytesView> envelope) const {
  if (!box.is_canonical()) return broken("sent a box whose keys are not in ascending order");
  for (const BytesView key : envelope) {
    if (!box.has(key)) return broken("sent a box without " + start_in_quotes(key));
  }
  for (const auto& [key, value] : box) {
    if (key.front() == '_' && std::find(envelope.begin(), envelope.end(), key) == envelope.end()) {
      return broken(formatted("sent a box with {}, which does not belong here", start_in_quotes(key)));
    }
  }
  return {};
}

Result<void> BoxReader::check_reserved(const BoxView& box) const {
  for (const BytesView key : reserved_keys) {
    if (box.has(key))
      return broken(formatted("sent {}, and the feature 'resume' is not in force", start_in_quotes(key)));
  }
  return {};
}

Failure BoxReader::broken(const std::string& what) const {
  return Failure{Errc::protocol_error, formatted("{} {} ({})", peer_, what, place_)};
}

Failure BoxReader::at_end() const {
  return Failure{Errc::connection_lost, formatted("the connection to {} ended{} ({})", peer_,
                                                  decoder_.is_inside_box() ? " inside a box" : "", place_)};
}

}  // namespace remsh::auth
