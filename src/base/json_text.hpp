// Text in JSON.
#pragma once

#include <remsh/base/bytes.hpp>

#include <string>

namespace remsh {

/// The bytes as a string of JSON, in quotes. Bytes that are not UTF-8 become U+FFFD.
std::string json_text(BytesView bytes);

}  // namespace remsh
