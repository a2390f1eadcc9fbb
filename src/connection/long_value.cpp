// Long values: split for the wire, and joined again.
#include "connection/long_value.hpp"

#include "base/format.hpp"
#include "base/hex.hpp"
#include "base/text.hpp"

#include <remsh/connection/box_codec.hpp>

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace remsh {
namespace {

constexpr std::size_t suffix_size = 5;  // the '~' and four digits

bool has_mark(BytesView key) { return key.find('~') != BytesView::npos; }

Bytes continuation_key(BytesView key, std::size_t number) {
  assert(number <= 0xffffU);
  Bytes result(key);
  result.push_back('~');
  for (int shift = 12; shift >= 0; shift -= 4) result.push_back(lower_hex[(number >> shift) & 0xfU]);
  return result;
}

/// The key and the number of a continuation's key; nullopt if it is not a continuation.
std::optional<std::pair<BytesView, std::size_t>> parse_continuation(BytesView key) {
  if (key.size() <= suffix_size || key.find('~') != key.size() - suffix_size) return std::nullopt;
  std::size_t number = 0;
  for (const char c : key.substr(key.size() - suffix_size + 1)) {
    const auto digit = lower_hex.find(c);
    if (digit == BytesView::npos) return std::nullopt;
    number = number << 4U | digit;
  }
  if (number == 0) return std::nullopt;
  return std::pair(key.substr(0, key.size() - suffix_size), number);
}

Failure malformed(BytesView key, const char* what) {
  return Failure{Errc::invalid_argument, formatted("the key {} {}", in_quotes(key), what)};
}

/// Checks one continuation. If each continuation follows a full part there is no gap, and counting is enough to join
/// them. `previous` is the field before this one in the box: for a continuation after the first, it must be the part
/// before. For a first continuation the box is searched, which a valid box makes us do once for each 65535 bytes.
Result<void> check_continuation(const Box& box, const Box::Field& previous, BytesView key, BytesView value) {
  const auto continuation = parse_continuation(key);
  if (!continuation) return malformed(key, "has a '~' and is no continuation of a long value");
  if (value.empty()) return malformed(key, "continues a long value with nothing");
  const auto [base, number] = *continuation;
  std::optional<BytesView> before;
  if (number == 1) {
    before = box.get(base);
  } else if (previous.key == continuation_key(base, number - 1)) {
    before = previous.value;
  }
  if (!before) return malformed(key, "continues a long value of which the part before is missing");
  if (before->size() != Box::max_value) return malformed(key, "continues a part of a long value that is not full");
  return {};
}

}  // namespace

bool has_long_value(const Box& box) noexcept {
  return box.bytes() > Box::max_value && std::any_of(box.begin(), box.end(), [](const Box::Field& field) {
           return field.value.size() > Box::max_value;
         });
}

Result<Box> split_long_values(const Box& box, BoxLimits limits) {
  const std::size_t size = encoded_size(box);
  if (size > limits.bytes) {
    return Failure{Errc::too_large,
                   formatted("{} bytes; a call carries at most {}: send a file instead", size, limits.bytes)};
  }
  if (box.size() > limits.fields) {
    return Failure{Errc::too_large, formatted("{} fields; a call carries at most {}", box.size(), limits.fields)};
  }
  std::vector<std::pair<Bytes, BytesView>> parts;
  for (const auto& [key, value] : box) {
    BytesView rest = value;
    parts.emplace_back(key, rest.substr(0, Box::max_value));
    if (rest.size() <= Box::max_value) continue;
    if (has_mark(key)) return malformed(key, "has a '~', so its value cannot be over 65535 bytes");
    if (key.size() > Box::max_key - suffix_size) return malformed(key, "is too long for a value over 65535 bytes");
    for (std::size_t number = 1; rest.size() > Box::max_value; ++number) {
      rest.remove_prefix(Box::max_value);
      Bytes part = continuation_key(key, number);
      if (box.has(part)) return malformed(part, "is where the value of another key goes on");
      parts.emplace_back(std::move(part), rest.substr(0, Box::max_value));
    }
  }
  std::sort(parts.begin(), parts.end());
  Box result;
  result.reserve(parts.size(), box.bytes() + parts.size() * suffix_size);
  for (const auto& [key, value] : parts) result.set(key, value);
  return result;
}

Result<Box> join_long_values(Box box) {
  if (std::none_of(box.begin(), box.end(), [](const Box::Field& field) { return has_mark(field.key); })) return box;
  Box result;
  result.reserve(box.size(), box.bytes());
  Box::Field previous;
  for (const Box::Field field : box) {
    const Box::Field before = std::exchange(previous, field);
    const auto [key, first] = field;
    if (has_mark(key)) {
      if (auto checked = check_continuation(box, before, key, first); !checked.ok()) {
        return std::move(checked).failure();
      }
      continue;
    }
    if (first.size() != Box::max_value) {
      result.set(key, first);
      continue;
    }
    Bytes value(first);
    auto at = box.find(continuation_key(key, 1));
    for (std::size_t number = 1; at != box.end() && at->key == continuation_key(key, number); ++number, ++at) {
      value.append(at->value);
    }
    result.set(key, value);
  }
  return result;
}

}  // namespace remsh
