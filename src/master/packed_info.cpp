#include "master/packed_info.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

namespace remsh {

namespace {

// Seven bits per byte, the lowest first; the highest bit says that more come.

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

/// In the order of the block; the two that are asked for alone are first.
template <class Info>
auto fields(Info& info) {
  return std::array{&info.name,     &info.key_id,  &info.hostname, &info.system,
                    &info.software, &info.basedir, &info.address,  &info.protocol};
}

}  // namespace

PackedInfo::PackedInfo(const SlaveInfo& info) {
  const auto size_of = [](const std::string& text) { return number_size(text.size()) + text.size(); };
  std::size_t size = number_size(info.features.size());
  for (const std::string* field : fields(info)) size += size_of(*field);
  for (const std::string& feature : info.features) size += size_of(feature);
  size += number_size(info.labels.size());
  for (const auto& [key, value] : info.labels) size += size_of(key) + size_of(value);
  block_ = std::make_unique_for_overwrite<char[]>(size);
  char* at = block_.get();
  const auto put = [&at](const std::string& text) {
    at = put_number(at, text.size());
    at = std::copy(text.begin(), text.end(), at);
  };
  for (const std::string* field : fields(info)) put(*field);
  at = put_number(at, info.features.size());
  for (const std::string& feature : info.features) put(feature);
  at = put_number(at, info.labels.size());
  for (const auto& [key, value] : info.labels) {
    put(key);
    put(value);
  }
}

std::string_view PackedInfo::name() const noexcept {
  if (!block_) return {};
  const char* at = block_.get();
  return take_text(at);
}

std::string_view PackedInfo::key_id() const noexcept {
  if (!block_) return {};
  const char* at = block_.get();
  take_text(at);
  return take_text(at);
}

SlaveInfo PackedInfo::unpack() const {
  SlaveInfo info;
  if (!block_) return info;
  const char* at = block_.get();
  for (std::string* field : fields(info)) *field = take_text(at);
  info.features.resize(take_number(at));
  for (std::string& feature : info.features) feature = take_text(at);
  for (std::size_t labels = take_number(at); labels > 0; --labels) {
    const std::string_view key = take_text(at);
    info.labels.emplace(key, take_text(at));
  }
  return info;
}

}  // namespace remsh
