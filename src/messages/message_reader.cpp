#include "messages/message_reader.hpp"

#include "base/big_endian.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace remsh::messages {

namespace {

constexpr std::size_t short_header = 4;
constexpr std::size_t long_header = 12;
constexpr std::uint32_t escape = 0xffffffff;         // instead of a size: one of eight bytes follows
constexpr std::size_t buffer_size = 16 * 1024 + 64;  // the largest message that Python sends in one write, and more

/// Memory that is allocated for a message before more than its size has come.
constexpr std::uint64_t first_allocation = std::uint64_t{4} * 1024 * 1024;

}  // namespace

std::string header_of(std::uint64_t size) {
  std::string header;
  if (size <= most_in_short_header) {
    append_big_endian(header, size, short_header);
  } else {
    append_big_endian(header, escape, short_header);
    append_big_endian(header, size, long_header - short_header);
  }
  return header;
}

/// Returns false if it has not all arrived. What is not a size makes the reader `broken_`.
bool MessageReader::read_size() {
  const std::size_t have = end_ - begin_;
  if (have < short_header) return false;
  const char* const header = buffer_.get() + begin_;
  const std::uint64_t size = from_big_endian({header, short_header});
  if (size == escape) {
    if (have < long_header) return false;
    size_ = from_big_endian({header + short_header, long_header - short_header});
    begin_ += long_header;
  } else if (size > most_in_short_header) {  // negative
    broken_ = true;
    return false;
  } else {
    size_ = size;
    begin_ += short_header;
  }
  has_size_ = true;
  filled_ = 0;
  if (size_ <= offered_.size()) lent_ = std::exchange(offered_, {}).first(static_cast<std::size_t>(size_));
  return true;
}

void MessageReader::move_from_buffer() {
  const std::size_t part = static_cast<std::size_t>(std::min<std::uint64_t>(end_ - begin_, size_ - filled_));
  if (part == 0) return;
  if (!is_in_lent() && body_.size() < filled_ + part) {
    body_.reserve(static_cast<std::size_t>(std::min(size_, first_allocation)));
    body_.resize(filled_ + part);
  }
  std::memcpy(place() + filled_, buffer_.get() + begin_, part);
  begin_ += part;
  filled_ += part;
}

MessageReader::Next MessageReader::next(std::uint64_t most) {
  if (broken_) return Next::broken;
  if (!has_size_ && !read_size()) return broken_ ? Next::broken : Next::bytes;
  if (size_ > most) return Next::too_large;
  move_from_buffer();
  return filled_ == size_ ? Next::message : Next::bytes;
}

std::span<char> MessageReader::room() {
  if (has_size_) {  // the buffer is empty now
    if (is_in_lent()) return lent_.subspan(filled_);
    if (body_.size() == filled_) {
      const std::uint64_t more = std::max<std::uint64_t>(first_allocation, 2 * std::uint64_t{filled_});
      body_.resize(static_cast<std::size_t>(std::min(size_, more)));
    }
    return std::span(body_).subspan(filled_);
  }
  if (!buffer_) buffer_ = std::make_unique_for_overwrite<char[]>(buffer_size);
  if (begin_ > 0) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= std::exchange(begin_, 0);
  }
  return {buffer_.get() + end_, buffer_size - end_};
}

void MessageReader::received(std::size_t count) noexcept { (has_size_ ? filled_ : end_) += count; }

void MessageReader::lend(std::span<char> target) {
  if (!has_size_) {
    offered_ = target;
    return;
  }
  if (size_ > target.size()) return;
  std::copy_n(place(), filled_, target.data());
  lent_ = target.first(static_cast<std::size_t>(size_));
  body_.clear();
}

void MessageReader::take_back() {
  offered_ = {};
  if (!is_in_lent()) return;
  const std::span<char> lent = std::exchange(lent_, {});
  broken_ = true;  // unless there is memory for the copy
  body_.assign(lent.data(), filled_);
  broken_ = false;
}

Bytes MessageReader::take() {
  has_size_ = false;
  size_ = 0;
  filled_ = 0;
  offered_ = {};
  lent_ = {};
  return std::exchange(body_, {});
}

}  // namespace remsh::messages
