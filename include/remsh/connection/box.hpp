// Box: one AMP message, unique keys with byte values.
#pragma once

#include <remsh/base/bytes.hpp>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace remsh {

/// One AMP message: unique keys of 1 to 255 bytes, in ascending order, each with a value of any bytes.
///
///     Box box{{"_command", "stat"}, {"path", "/tmp"}};
///     if (auto path = box.get("path")) use(*path);
///
/// A value in a box on the wire is at most 65535 bytes; send_box() refuses more.
class Box {
 public:
  struct Field {
    Bytes key;
    Bytes value;
    friend bool operator==(const Field&, const Field&) = default;
  };
  using const_iterator = std::vector<Field>::const_iterator;

  static constexpr std::size_t max_key = 255;
  static constexpr std::size_t max_value = 65535;

  Box() = default;

  /// Throws std::invalid_argument if a key is invalid or appears twice.
  Box(std::initializer_list<std::pair<BytesView, BytesView>> fields) {
    fields_.reserve(fields.size());
    for (const auto& [key, value] : fields) {
      if (has(key)) throw std::invalid_argument("remsh::Box: the same key twice");
      set(Bytes(key), Bytes(value));
    }
  }

  /// Sets the value of a key, new or not. Throws std::invalid_argument for a key of 0 or over 255 bytes.
  void set(Bytes key, Bytes value) {
    if (key.empty() || key.size() > max_key) throw std::invalid_argument("remsh::Box: a key has 1 to 255 bytes");
    if (fields_.empty() || BytesView(fields_.back().key) < BytesView(key)) {  // most are set in order
      fields_.push_back(Field{std::move(key), std::move(value)});
      return;
    }
    const auto at = lower(key);
    if (at != fields_.end() && at->key == key) {
      at->value = std::move(value);
    } else {
      fields_.insert(at, Field{std::move(key), std::move(value)});
    }
  }

  /// As set(), but copies both to their place: the quicker way for keys that come in ascending order.
  void add(BytesView key, BytesView value) {
    if (key.empty() || key.size() > max_key || (!fields_.empty() && BytesView(fields_.back().key) >= key)) {
      return set(Bytes(key), Bytes(value));
    }
    Field& field = fields_.emplace_back();
    field.key = key;
    field.value = value;
  }

  /// The field with this key; end() if it is missing.
  [[nodiscard]] const_iterator find(BytesView key) const {
    if (fields_.size() <= 8) {  // most boxes; keys of different lengths need no comparison
      return std::find_if(fields_.begin(), fields_.end(), [key](const Field& field) { return field.key == key; });
    }
    const const_iterator at = const_cast<Box*>(this)->lower(key);
    return at == fields_.end() || at->key != key ? fields_.end() : at;
  }

  /// The value of a key; nullopt if it is missing. The view is valid until the box is changed.
  [[nodiscard]] std::optional<BytesView> get(BytesView key) const& {
    const auto at = find(key);
    if (at == fields_.end()) return std::nullopt;
    return BytesView(at->value);
  }

  /// The value itself, moved out of a temporary box, as in slave->call("sum", arguments).get("sum").
  [[nodiscard]] std::optional<Bytes> get(BytesView key) && {
    const auto at = lower(key);
    if (at == fields_.end() || at->key != key) return std::nullopt;
    return std::move(at->value);
  }

  [[nodiscard]] bool has(BytesView key) const { return find(key) != fields_.end(); }

  /// Removes a key. Returns false if it is missing.
  bool erase(BytesView key) {
    const auto at = lower(key);
    if (at == fields_.end() || at->key != key) return false;
    fields_.erase(at);
    return true;
  }

  /// Reserves memory for this number of fields.
  void reserve(std::size_t fields) { fields_.reserve(fields); }

  [[nodiscard]] bool empty() const noexcept { return fields_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return fields_.size(); }
  [[nodiscard]] const_iterator begin() const noexcept { return fields_.begin(); }
  [[nodiscard]] const_iterator end() const noexcept { return fields_.end(); }

  friend bool operator==(const Box&, const Box&) = default;

 private:
  std::vector<Field>::iterator lower(BytesView key) {
    return std::lower_bound(fields_.begin(), fields_.end(), key,
                            [](const Field& field, BytesView wanted) { return BytesView(field.key) < wanted; });
  }

  std::vector<Field> fields_;
};

}  // namespace remsh
