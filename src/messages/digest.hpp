// The digests by which Python's connections prove a key.
#pragma once

#include <remsh/base/bytes.hpp>

#include <cstdint>
#include <optional>
#include <string_view>

namespace remsh::messages {

enum class Hash : std::uint8_t { md5, sha256, sha384, sha3_256, sha3_384 };

/// Removes the name of a hash, such as "{sha256}", from the front of the message, and returns that hash. nullopt if
/// there is none, or it is not known.
std::optional<Hash> take_hash_name(BytesView& message);

/// The name of a hash, as "{sha256}".
std::string_view name_in_front(Hash hash) noexcept;

/// HMAC. nullopt if libcrypto does not have the hash: without MD5, for example, as in FIPS mode.
std::optional<Bytes> hmac(Hash hash, BytesView key, BytesView data);

/// Compares in constant time.
bool are_equal(BytesView a, BytesView b) noexcept;

}  // namespace remsh::messages
