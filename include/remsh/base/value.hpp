// Value: plain data, as Python programs pass it to each other with send() and recv().
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/export.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace remsh {

/// None, a bool, an int, a float, a str, bytes, or a list, tuple, set or dict of these.
///
///     Value message = Value::list({2.25, Value(), Value::text("junk")});  // [2.25, None, 'junk']
///     if (const auto* number = answer.get_if<std::int64_t>()) use(*number);
///     if (const Value* name = answer.find(Value::text("name"))) ...  // of a dict
class Value {
 public:
  struct None {
    friend bool operator==(const None&, const None&) = default;
  };
  /// A str, in UTF-8. A C++ string can be meant as text or as bytes, so each has a name here.
  struct Text {
    std::string text;
    friend bool operator==(const Text&, const Text&) = default;
  };
  /// An int beyond 64 bits: its two's complement, the lowest byte first, without bytes that only repeat the sign.
  struct LargeInt {
    Bytes bytes;
    friend bool operator==(const LargeInt&, const LargeInt&) = default;
  };
  struct List {
    std::vector<Value> items;
    friend bool operator==(const List&, const List&) = default;
  };
  struct Tuple {
    std::vector<Value> items;
    friend bool operator==(const Tuple&, const Tuple&) = default;
  };
  /// In any order. Python refuses items that it cannot hash: lists, sets and dicts.
  struct Set {
    std::vector<Value> items;
    friend bool operator==(const Set&, const Set&) = default;
  };
  /// values[i] belongs to keys[i]. If a key comes twice, its last value counts.
  struct Dict {
    std::vector<Value> keys;
    std::vector<Value> values;
    friend bool operator==(const Dict&, const Dict&) = default;
  };
  using What = std::variant<None, bool, std::int64_t, LargeInt, double, Text, Bytes, List, Tuple, Set, Dict>;

  Value() = default;  ///< None
  Value(bool value) : what_(value) {}
  template <std::integral Int>
  Value(Int value) : what_(of_int(value)) {}
  Value(double value) : what_(value) {}
  Value(What what) : what_(std::move(what)) {}
  Value(char) = delete;         // text(), bytes() or a number?
  Value(const char*) = delete;  // text() or bytes()?
  Value(const std::string&) = delete;
  Value(void*) = delete;  // would convert to bool

  static Value text(std::string text) { return What(Text{std::move(text)}); }
  static Value bytes(Bytes bytes) { return What(std::move(bytes)); }
  static Value list(std::vector<Value> items) { return What(List{std::move(items)}); }
  static Value tuple(std::vector<Value> items) { return What(Tuple{std::move(items)}); }
  static Value set(std::vector<Value> items) { return What(Set{std::move(items)}); }
  static Value dict(std::initializer_list<std::pair<Value, Value>> items);

  [[nodiscard]] const What& what() const noexcept { return what_; }

  /// The value as one of these types; null if it is another one.
  template <class Type>
  [[nodiscard]] const Type* get_if() const noexcept {
    return std::get_if<Type>(&what_);
  }

  /// Of a dict: the value of a key; null if it has none, or this is no dict.
  [[nodiscard]] const Value* find(const Value& key) const {
    const auto* const dict = get_if<Dict>();
    for (std::size_t i = dict != nullptr ? dict->keys.size() : 0; i-- > 0;) {
      if (dict->keys[i] == key) return &dict->values[i];
    }
    return nullptr;
  }

  friend bool operator==(const Value&, const Value&) = default;

 private:
  template <class Int>
  static What of_int(Int value) {
    if constexpr (std::is_unsigned_v<Int> && sizeof(Int) >= sizeof(std::int64_t)) {
      if (!std::in_range<std::int64_t>(value)) {
        LargeInt large;
        for (std::uint64_t rest = value; rest > 0; rest >>= 8U) large.bytes.push_back(static_cast<char>(rest & 0xffU));
        large.bytes.push_back('\0');
        return large;
      }
    }
    return static_cast<std::int64_t>(value);
  }

  What what_;
};

inline Value Value::dict(std::initializer_list<std::pair<Value, Value>> items) {
  Dict dict;
  for (const auto& [key, value] : items) {
    dict.keys.push_back(key);
    dict.values.push_back(value);
  }
  return What(std::move(dict));
}

/// The value as Python prints it, except that characters which Python escapes because they are not printable are
/// escaped only if they are ASCII: "[2.25, None, 'junk']".
REMSH_API std::string to_string(const Value& value);

}  // namespace remsh
