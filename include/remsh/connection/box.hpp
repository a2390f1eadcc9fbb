// Box: one AMP message, unique keys with byte values.
#pragma once

#include <remsh/base/bytes.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <optional>
#include <stdexcept>
#include <utility>

namespace remsh {

/// One AMP message: unique keys of 1 to 255 bytes, in ascending order, each with a value of any bytes.
///
///     Box box{{"_command", "stat"}, {"path", "/tmp"}};
///     if (auto path = box.get("path")) use(*path);
///
/// A value in a box on the wire is at most 65535 bytes; send_box() refuses more. All fields lie in one piece of memory,
/// one behind the other. To find a key takes time in proportion to the number of fields.
class Box {
 public:
  /// Valid until the box is changed, moved or destroyed.
  struct Field {
    BytesView key;
    BytesView value;
    friend bool operator==(const Field&, const Field&) = default;
  };

  /// Goes through the fields in the order of their keys.
  class const_iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using iterator_concept = std::forward_iterator_tag;
    using value_type = Field;
    using difference_type = std::ptrdiff_t;
    using reference = Field;
    struct pointer {
      Field field;
      const Field* operator->() const noexcept { return &field; }
    };

    const_iterator() = default;
    Field operator*() const noexcept { return {key(), {at_ + head + key_size(), value_size()}}; }
    pointer operator->() const noexcept { return {**this}; }
    const_iterator& operator++() noexcept {
      at_ += head + key_size() + value_size();
      return *this;
    }
    const_iterator operator++(int) noexcept {
      const const_iterator before = *this;
      ++*this;
      return before;
    }
    friend bool operator==(const const_iterator&, const const_iterator&) = default;

   private:
    friend class Box;
    explicit const_iterator(const char* at) noexcept : at_(at) {}
    [[nodiscard]] std::size_t key_size() const noexcept { return static_cast<unsigned char>(at_[sizeof(ValueSize)]); }
    [[nodiscard]] std::size_t value_size() const noexcept {
      ValueSize size = 0;
      std::memcpy(&size, at_, sizeof size);
      return size;
    }
    [[nodiscard]] BytesView key() const noexcept { return {at_ + head, key_size()}; }

    const char* at_ = nullptr;
  };

  static constexpr std::size_t max_key = 255;
  static constexpr std::size_t max_value = 65535;

  Box() = default;
  Box(const Box&) = default;
  Box(Box&& other) noexcept { swap(other); }
  Box& operator=(const Box&) = default;
  Box& operator=(Box&& other) noexcept {
    Box taken(std::move(other));  // which leaves the other one empty
    swap(taken);
    return *this;
  }
  ~Box() = default;

  /// Throws std::invalid_argument if a key is invalid or appears twice.
  Box(std::initializer_list<std::pair<BytesView, BytesView>> fields) {
    for (const auto& [key, value] : fields) {
      if (has(key)) throw std::invalid_argument("remsh::Box: the same key twice");
      set(key, value);
    }
  }

  /// Sets the value of a key, new or not. Throws std::invalid_argument for a key of 0 or over 255 bytes, or a value of
  /// 4 GiB or more. Fill a box in the order of the keys: a key that is set before others moves all bytes behind it.
  void set(BytesView key, BytesView value) {
    if (key.empty() || key.size() > max_key) throw std::invalid_argument("remsh::Box: a key has 1 to 255 bytes");
    if (value.size() > std::numeric_limits<ValueSize>::max()) {
      throw std::invalid_argument("remsh::Box: a value has less than 4 GiB");
    }
    if (holds(key) || holds(value)) return set(Bytes(key), Bytes(value));
    if (count_ == 0 || iterator_at(last_).key() < key) {  // most are set in order
      const std::size_t at = bytes_.size();
      bytes_.resize(at + head + key.size() + value.size());
      write(bytes_.data() + at, key, value);
      last_ = at;
      ++count_;
      return;
    }
    insert(key, value);
  }

  /// The field with this key; end() if it is missing.
  [[nodiscard]] const_iterator find(BytesView key) const noexcept {
    const const_iterator none = end();
    const_iterator at = begin();
    while (at != none && at.key() != key) ++at;
    return at;
  }

  /// The value of a key; nullopt if it is missing. The view is valid until the box is changed, moved or destroyed.
  [[nodiscard]] std::optional<BytesView> get(BytesView key) const& noexcept {
    const const_iterator at = find(key);
    return at == end() ? std::nullopt : std::optional((*at).value);
  }

  /// The value itself, out of a temporary box, as in slave->call("sum", arguments).get("sum").
  [[nodiscard]] std::optional<Bytes> get(BytesView key) && {
    const const_iterator at = find(key);
    return at == end() ? std::nullopt : std::optional<Bytes>((*at).value);
  }

  [[nodiscard]] bool has(BytesView key) const noexcept { return find(key) != end(); }

  /// Removes a key. Returns false if it is missing.
  bool erase(BytesView key) {
    const const_iterator found = find(key);
    if (found == end()) return false;
    const std::size_t at = offset(found);
    bytes_.erase(at, offset(std::next(found)) - at);
    --count_;
    find_last();
    return true;
  }

  /// Reserves memory for this number of fields, whose keys and values have this number of bytes.
  void reserve(std::size_t fields, std::size_t bytes) { bytes_.reserve(fields * head + bytes); }

  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }

  /// The number of fields.
  [[nodiscard]] std::size_t size() const noexcept { return count_; }

  /// The size of all keys and values.
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_.size() - count_ * head; }

  [[nodiscard]] const_iterator begin() const noexcept { return iterator_at(0); }
  [[nodiscard]] const_iterator end() const noexcept { return iterator_at(bytes_.size()); }

  friend bool operator==(const Box& a, const Box& b) noexcept { return a.bytes_ == b.bytes_; }

 private:
  // A field is the size of its value, the size of its key in one byte, its key and its value.
  using ValueSize = std::uint32_t;
  static constexpr std::size_t head = sizeof(ValueSize) + 1;

  static void write(char* to, BytesView key, BytesView value) noexcept {
    const auto size = static_cast<ValueSize>(value.size());
    std::memcpy(to, &size, sizeof size);
    to[sizeof size] = static_cast<char>(key.size());
    std::memcpy(to + head, key.data(), key.size());
    if (!value.empty()) std::memcpy(to + head + key.size(), value.data(), value.size());
  }

  void swap(Box& other) noexcept {
    bytes_.swap(other.bytes_);
    std::swap(count_, other.count_);
    std::swap(last_, other.last_);
  }

  /// For a key at or below the last one.
  void insert(BytesView key, BytesView value) {
    Bytes field(head + key.size() + value.size(), '\0');
    write(field.data(), key, value);
    const_iterator at = begin();
    while (at.key() < key) ++at;
    const bool is_there = at.key() == key;
    bytes_.replace(offset(at), is_there ? offset(std::next(at)) - offset(at) : 0, field);
    if (!is_there) ++count_;
    find_last();
  }

  void find_last() noexcept {
    last_ = 0;
    for (const_iterator at = begin(); at != end(); ++at) last_ = offset(at);
  }

  /// Whether the bytes lie in this box, so that a change may move them.
  [[nodiscard]] bool holds(BytesView bytes) const noexcept {
    const std::less<const char*> is_before;
    return !is_before(bytes.data(), bytes_.data()) && is_before(bytes.data(), bytes_.data() + bytes_.size());
  }

  [[nodiscard]] const_iterator iterator_at(std::size_t offset) const noexcept {
    return const_iterator(bytes_.data() + offset);
  }
  [[nodiscard]] std::size_t offset(const_iterator at) const noexcept {
    return static_cast<std::size_t>(at.at_ - bytes_.data());
  }

  Bytes bytes_;
  std::size_t count_ = 0;
  std::size_t last_ = 0;  // where the last field begins
};

}  // namespace remsh
