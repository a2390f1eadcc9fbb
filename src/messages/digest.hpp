// The digests by which Python's connections prove a key.
#pragma once

#include <remsh/base/bytes.hpp>

#include <cstdint>
#include <optional>
#include <string_view>

namespace remsh::messages {

enum class Hash : std::uint8_t { md5, sha256, sha384, sha3_256, sha3_384 };

/// The hash of which a message has the name in front: "{sha256}...". The name is taken from the message. nullopt if
/// there is none that is known.
std::optional<Hash> take_hash_name(BytesView& message);

/// "{sha256}".
std::string_view name_in_front(Hash hash) noexcept;

/// HMAC. nullopt if libcrypto does not have the hash: without MD5, for example, as in FIPS mode.
std::optional<Bytes> hmac(Hash hash, BytesView key, BytesView data);

/// Takes the same time regardless of where the two differ.
bool are_equal(BytesView a, BytesView b) noexcept;

}  // namespace remsh::messages
