// Digests and HMAC by the name of their hash, for protocols that name one.
#pragma once

#include <remsh/base/bytes.hpp>

#include <cstdint>
#include <optional>

namespace remsh {

enum class Hash : std::uint8_t { md5, sha1, sha256, sha384, sha3_256, sha3_384 };

/// The digest of the data. nullopt if libcrypto does not have the hash: without MD5, for example, as in FIPS mode.
std::optional<Bytes> digest(Hash hash, BytesView data);

/// HMAC. nullopt as for digest().
std::optional<Bytes> hmac(Hash hash, BytesView key, BytesView data);

/// Compares in constant time.
bool are_equal(BytesView a, BytesView b) noexcept;

}  // namespace remsh
