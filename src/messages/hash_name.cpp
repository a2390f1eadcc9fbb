#include "messages/hash_name.hpp"

#include <array>
#include <utility>

namespace remsh::messages {

namespace {

constexpr std::array<std::pair<std::string_view, Hash>, 5> names{{{"{md5}", Hash::md5},
                                                                  {"{sha256}", Hash::sha256},
                                                                  {"{sha384}", Hash::sha384},
                                                                  {"{sha3_256}", Hash::sha3_256},
                                                                  {"{sha3_384}", Hash::sha3_384}}};

}  // namespace

std::optional<Hash> take_hash_name(BytesView& message) {
  for (const auto& [name, hash] : names) {
    if (!message.starts_with(name)) continue;
    message.remove_prefix(name.size());
    return hash;
  }
  return std::nullopt;
}

std::string_view name_in_front(Hash hash) noexcept {
  for (const auto& [name, known] : names) {
    if (known == hash) return name;
  }
  return {};
}

}  // namespace remsh::messages
