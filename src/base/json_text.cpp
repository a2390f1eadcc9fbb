#include "base/json_text.hpp"

#include "base/hex.hpp"
#include "base/text.hpp"

#include <cstddef>

namespace remsh {

std::string json_text(BytesView bytes) {
  std::string out = "\"";
  while (!bytes.empty()) {
    const std::size_t size = utf8_size(bytes);
    const auto first = static_cast<unsigned char>(bytes.front());
    if (size == 0) {
      out += "\\ufffd";
    } else if (first < 0x20 || first == 0x7F) {
      out += "\\u00";
      append_hex(out, bytes.front());
    } else {
      if (first == '"' || first == '\\') out += '\\';
      out += bytes.substr(0, size);
    }
    bytes.remove_prefix(size == 0 ? 1 : size);
  }
  return out + '"';
}

}  // namespace remsh
