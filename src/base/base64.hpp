// Base64 as RFC 4648 has it, section 4: with padding, without line breaks.
#pragma once

#include <remsh/base/bytes.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace remsh {

std::string to_base64(BytesView bytes);

/// nullopt for anything that to_base64() does not write: other characters, missing padding, and bits behind the last
/// byte that are not 0. The result is the only copy of the bytes that is made: if they are secret, the caller wipes it.
std::optional<Bytes> from_base64(std::string_view text);

}  // namespace remsh
