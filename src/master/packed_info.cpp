#include "master/packed_info.hpp"

#include "auth/resources.hpp"
#include "base/decimal.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <string>
#include <utility>

namespace remsh {

namespace {

// The first byte of a block, and of a PackedInfo::Unpacked. A block has then the fields, each preceded by its length,
// the labels, the claimed labels, the resources (auth::resources_text() by name) and the features, each preceded by
// their number.
constexpr char is_block = 0;
constexpr char is_unpacked = 1;

// Seven bits per byte, the lowest first; the highest bit is set if more bytes follow.

std::size_t number_size(std::size_t number) {
  std::size_t size = 1;
  while ((number >>= 7U) != 0) ++size;
  return size;
}

char* put_number(char* at, std::size_t number) {
  while (number >= 0x80U) {
    *at++ = static_cast<char>(number | 0x80U);
    number >>= 7U;
  }
  *at++ = static_cast<char>(number);
  return at;
}

std::size_t take_number(const char*& at) {
  std::size_t number = 0;
  for (unsigned shift = 0;; shift += 7U) {
    const auto byte = static_cast<unsigned char>(*at++);
    number |= static_cast<std::size_t>(byte & 0x7fU) << shift;
    if ((byte & 0x80U) == 0) return number;
  }
}

std::string_view take_text(const char*& at) {
  const std::size_t size = take_number(at);
  const std::string_view text(at, size);
  at += size;
  return text;
}

/// The value of a key in the labels that begin there.
std::optional<std::string_view> find_label(const char* at, std::string_view key) {
  for (std::size_t labels = take_number(at); labels > 0; --labels) {
    const std::string_view found = take_text(at);
    const std::string_view value = take_text(at);
    if (found == key) return value;
  }
  return std::nullopt;
}

/// In the order of the block. The fields that have getters of their own are first.
template <class Info>
auto fields(Info& info) {
  return std::array{&info.name,     &info.key_id, &info.address,  &info.boot_id, &info.instance_id,
                    &info.hostname, &info.system, &info.software, &info.basedir, &info.protocol};
}

using Labels = std::map<std::string, std::string>;

/// The resources of an info as labels, slots among them.
Labels counts_of(const SlaveInfo& info) {
  Labels counts;
  for (const auto& [name, count] : info.resources) counts.emplace(name, Decimal(count));
  if (info.slots != auth::default_slots) counts.emplace(auth::slots_name, Decimal(info.slots));
  return counts;
}

/// The number of fields() of an info.
constexpr std::size_t field_count = std::tuple_size_v<decltype(fields(std::declval<SlaveInfo&>()))>;

}  // namespace

struct PackedInfo::Unpacked {
  char mark = is_unpacked;
  const char* block = nullptr;  // owned by the PackedInfo
  SlaveInfo info = {};

  /// The Unpacked that a pointer of PackedInfo points to; null if it points to a block or is null.
  static const Unpacked* from(const char* held) noexcept {
    return held != nullptr && *held == is_unpacked ? reinterpret_cast<const Unpacked*>(held) : nullptr;
  }
};

void PackedInfo::clear() noexcept {
  const char* const held = held_.exchange(nullptr);
  const Unpacked* const unpacked = Unpacked::from(held);
  delete[](unpacked != nullptr ? unpacked->block : held);
  delete unpacked;
}

const char* PackedInfo::block() const noexcept {
  const char* const held = held_.load(std::memory_order_acquire);
  const Unpacked* const unpacked = Unpacked::from(held);
  return unpacked != nullptr ? unpacked->block : held;
}

void PackedInfo::set(const SlaveInfo& info) {
  clear();
  const auto size_of = [](const std::string& text) { return number_size(text.size()) + text.size(); };
  const Labels counts = counts_of(info);
  const std::array<const Labels*, 3> lists{&info.labels, &info.claimed_labels, &counts};
  std::size_t size = 1 + number_size(info.features.size());
  for (const std::string* field : fields(info)) size += size_of(*field);
  for (const Labels* labels : lists) {
    size += number_size(labels->size());
    for (const auto& [key, value] : *labels) size += size_of(key) + size_of(value);
  }
  for (const std::string& feature : info.features) size += size_of(feature);
  char* at = new char[size];
  held_ = at;
  *at++ = is_block;
  const auto put = [&at](const std::string& text) {
    at = put_number(at, text.size());
    at = std::copy(text.begin(), text.end(), at);
  };
  for (const std::string* field : fields(info)) put(*field);
  for (const Labels* labels : lists) {
    at = put_number(at, labels->size());
    for (const auto& [key, value] : *labels) {
      put(key);
      put(value);
    }
  }
  at = put_number(at, info.features.size());
  for (const std::string& feature : info.features) put(feature);
}

std::string_view PackedInfo::field(std::size_t number) const noexcept {
  const char* at = block();
  if (at == nullptr) return {};
  ++at;
  for (; number > 0; --number) take_text(at);
  return take_text(at);
}

std::optional<std::string_view> PackedInfo::label(std::string_view key) const noexcept {
  const char* const at = after_labels(0);
  return at == nullptr ? std::nullopt : find_label(at, key);
}

std::optional<std::string_view> PackedInfo::claimed_label(std::string_view key) const noexcept {
  const char* const at = after_labels(1);
  return at == nullptr ? std::nullopt : find_label(at, key);
}

std::uint64_t PackedInfo::resource(std::string_view name) const noexcept {
  const char* const at = after_labels(2);
  if (at == nullptr) return 0;
  if (const auto count = find_label(at, name)) return from_decimal(*count).value_or(0);
  return name == auth::slots_name ? auth::default_slots : 0;
}

/// Where the list of labels begins that has so many before it; null if there is no block.
const char* PackedInfo::after_labels(std::size_t lists) const noexcept {
  const char* at = after_fields();
  if (at == nullptr) return nullptr;
  for (; lists > 0; --lists) {
    for (std::size_t texts = 2 * take_number(at); texts > 0; --texts) take_text(at);
  }
  return at;
}

/// Where the labels begin; null if there is no block.
const char* PackedInfo::after_fields() const noexcept {
  const char* at = block();
  if (at == nullptr) return nullptr;
  ++at;
  for (std::size_t i = 0; i < field_count; ++i) take_text(at);
  return at;
}

SlaveInfo PackedInfo::unpack() const {
  SlaveInfo info;
  const char* at = block();
  if (at == nullptr) return info;
  ++at;
  for (std::string* field : fields(info)) *field = take_text(at);
  for (auto* labels : {&info.labels, &info.claimed_labels}) {
    for (std::size_t count = take_number(at); count > 0; --count) {
      const std::string_view key = take_text(at);
      labels->emplace(key, take_text(at));
    }
  }
  for (std::size_t count = take_number(at); count > 0; --count) {
    const std::string_view name = take_text(at);
    const std::uint64_t amount = from_decimal(take_text(at)).value_or(0);
    if (name == auth::slots_name) {
      info.slots = amount;
    } else {
      info.resources.emplace(name, amount);
    }
  }
  info.features.resize(take_number(at));
  for (std::string& feature : info.features) feature = take_text(at);
  return info;
}

const SlaveInfo& PackedInfo::unpacked() const {
  const char* held = held_.load(std::memory_order_acquire);
  if (const Unpacked* const unpacked = Unpacked::from(held)) return unpacked->info;
  auto ours = std::make_unique<Unpacked>();
  ours->block = held;
  ours->info = unpack();
  if (held_.compare_exchange_strong(held, reinterpret_cast<const char*>(ours.get()), std::memory_order_acq_rel)) {
    return ours.release()->info;
  }
  return Unpacked::from(held)->info;  // another thread was faster
}

}  // namespace remsh
