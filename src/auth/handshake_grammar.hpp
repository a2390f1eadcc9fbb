// The grammar of the first four boxes of a connection, for both sides. docs/protocol.md section 4.
#pragma once

#include "auth/handshake_step.hpp"
#include "auth/hmac.hpp"
#include "auth/registration.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/connection/box.hpp>
#include <remsh/connection/box_codec.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace remsh::auth {

inline constexpr std::size_t nonce_size = 32;
inline constexpr std::size_t binding_size = 32;
inline constexpr std::chrono::milliseconds max_keepalive{3'600'000};

inline constexpr BytesView handshake_version = "2";
inline constexpr BytesView hello_tag = "1";
inline constexpr BytesView prove_tag = "2";

inline constexpr std::size_t max_prove = 3072;
inline constexpr std::size_t max_handshake_box = 1024;  // of the other boxes
inline constexpr std::size_t max_features = 512;
inline constexpr std::size_t max_reason = 256;

/// The failure box of the handshake.
inline constexpr BytesView failure_code = "AUTH";
inline constexpr BytesView failure_description = "authentication failed";

/// A value of the registration: its key, its member, and its maximum length.
struct RegistrationField {
  BytesView key;
  std::string Registration::*member;
  std::size_t max;
};
inline constexpr std::array registration_fields{RegistrationField{"basedir", &Registration::basedir, 1024},
                                                RegistrationField{"boot", &Registration::boot_id, 64},
                                                RegistrationField{"check", &Registration::check, 1},
                                                RegistrationField{"hostname", &Registration::hostname, 255},
                                                RegistrationField{"instance", &Registration::instance_id, 64},
                                                RegistrationField{"labels", &Registration::labels, 1024},
                                                RegistrationField{"resources", &Registration::resources, 256},
                                                RegistrationField{"software", &Registration::software, 64},
                                                RegistrationField{"system", &Registration::system, 64}};

/// True for [A-Za-z0-9][A-Za-z0-9._-]{0,63}.
[[nodiscard]] bool is_slave_name(BytesView text) noexcept;

/// True for [a-z0-9-]{1,32}.
[[nodiscard]] bool is_feature_name(BytesView text) noexcept;

/// nonce_size random bytes, for one connection.
[[nodiscard]] Bytes new_nonce();

inline bool is_nonce(BytesView text) noexcept { return text.size() == nonce_size; }
inline bool is_mac(BytesView text) noexcept { return text.size() == digest_size; }
inline bool is_binding(BytesView bytes) noexcept { return bytes.empty() || bytes.size() == binding_size; }

/// True for a decimal number, as from_decimal() takes it.
[[nodiscard]] bool is_number(BytesView text) noexcept;

/// The features of a list: separated by one space, ascending, without duplicates. nullopt if it is malformed.
[[nodiscard]] std::optional<std::vector<std::string>> parse_features(BytesView text);
[[nodiscard]] bool is_feature_list(BytesView text);

/// The numbers of a list of the same form; nullopt if it is malformed.
[[nodiscard]] std::optional<std::vector<std::string>> parse_versions(BytesView text);
[[nodiscard]] bool is_version_list(BytesView text);

/// Joins elements, which must be ascending and without duplicates, to a list.
[[nodiscard]] Bytes join(const std::vector<std::string>& list);

/// Sorts features, which must be valid, into the order of a list.
void sort_features(std::vector<std::string>& features);

/// The word for a refusal on the wire: "name_in_use".
[[nodiscard]] std::string_view to_string(Refusal refusal) noexcept;

/// The Refusal for a word. An unknown word means `rejected`.
[[nodiscard]] Refusal refusal_of(BytesView word) noexcept;

/// The part of a box that a MAC covers: all fields except AMP's envelope and the MACs.
template <class AnyBox>
Bytes body(const AnyBox& box) {
  Bytes text;
  BoxWriter writer(text);
  for (const auto& [key, value] : box) {
    if (key.front() != '_' && key != "mac" && key != "resume_mac") writer.field(key, value);
  }
  writer.end();
  return text;
}

/// The transcript hash of a handshake before its first box.
[[nodiscard]] Sha256 new_transcript(BytesView binding);

/// The hash of the transcript and one more box.
[[nodiscard]] Bytes hash_with(const Sha256& transcript, BytesView body);

}  // namespace remsh::auth
