#include "buildbot/msgpack.hpp"

#include "base/big_endian.hpp"
#include "base/format.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace remsh::buildbot {

namespace {

/// The first byte of a value. Of the kinds that have a length, and of ints, the shortest form is in this byte itself.
namespace code {
constexpr std::uint8_t last_positive = 0x7f;  // from 0x00: the int itself
constexpr std::uint8_t fix_map = 0x80;        // up to 15 pairs
constexpr std::uint8_t fix_array = 0x90;      // up to 15 items
constexpr std::uint8_t fix_text = 0xa0;       // up to 31 bytes
constexpr std::uint8_t nil = 0xc0;
constexpr std::uint8_t no = 0xc2;
constexpr std::uint8_t yes = 0xc3;
constexpr std::uint8_t bytes_8 = 0xc4;  // with a length of 8 bits; 16 and 32 follow
constexpr std::uint8_t bytes_16 = 0xc5;
constexpr std::uint8_t bytes_32 = 0xc6;
constexpr std::uint8_t extension_8 = 0xc7;  // to 0xc9
constexpr std::uint8_t extension_32 = 0xc9;
constexpr std::uint8_t float_32 = 0xca;
constexpr std::uint8_t float_64 = 0xcb;
constexpr std::uint8_t unsigned_8 = 0xcc;
constexpr std::uint8_t unsigned_16 = 0xcd;
constexpr std::uint8_t unsigned_32 = 0xce;
constexpr std::uint8_t unsigned_64 = 0xcf;
constexpr std::uint8_t signed_8 = 0xd0;
constexpr std::uint8_t signed_16 = 0xd1;
constexpr std::uint8_t signed_32 = 0xd2;
constexpr std::uint8_t signed_64 = 0xd3;
constexpr std::uint8_t fix_extension_1 = 0xd4;  // to 0xd8
constexpr std::uint8_t fix_extension_16 = 0xd8;
constexpr std::uint8_t text_8 = 0xd9;
constexpr std::uint8_t text_16 = 0xda;
constexpr std::uint8_t text_32 = 0xdb;
constexpr std::uint8_t array_16 = 0xdc;
constexpr std::uint8_t array_32 = 0xdd;
constexpr std::uint8_t map_16 = 0xde;
constexpr std::uint8_t map_32 = 0xdf;
constexpr std::uint8_t first_negative = 0xe0;  // to 0xff: the int itself, from -32 to -1
}  // namespace code

constexpr std::uint8_t few_mask = 0x0f;  // of the length in fix_map and fix_array
constexpr std::uint8_t text_mask = 0x1f;
constexpr std::int64_t lowest_fix = -32;

bool is_key(const Value& value) { return value.get_if<Value::Text>() != nullptr || value.get_if<Bytes>() != nullptr; }

// --- writing

class MsgpackWriter {
 public:
  Result<Bytes> write(const Value& value) {
    add(value, 0);
    if (!problem_.empty()) return Failure{Errc::invalid_argument, std::move(problem_)};
    return std::move(out_);
  }

 private:
  /// The first bytes of a kind that has a length.
  struct Kind {
    std::uint8_t fix;
    std::uint8_t fix_mask;
    std::uint8_t with_8;
    std::uint8_t with_16;
    std::uint8_t with_32;
  };
  static constexpr std::uint8_t none = 0;  // there is no such form

  void byte(std::uint8_t value) { out_.push_back(static_cast<char>(value)); }
  /// A first byte and a number behind it.
  void put(std::uint8_t code, std::uint64_t number, unsigned bytes) {
    byte(code);
    append_big_endian(out_, number, bytes);
  }
  void refuse(std::string why) {
    if (problem_.empty()) problem_ = std::move(why);
  }

  void put_length(std::size_t length, const Kind& kind) {
    if (kind.fix != none && length <= kind.fix_mask) {
      byte(static_cast<std::uint8_t>(kind.fix | length));
    } else if (kind.with_8 != none && length <= std::numeric_limits<std::uint8_t>::max()) {
      put(kind.with_8, length, 1);
    } else if (length <= std::numeric_limits<std::uint16_t>::max()) {
      put(kind.with_16, length, 2);
    } else if (length <= std::numeric_limits<std::uint32_t>::max()) {
      put(kind.with_32, length, 4);
    } else {
      refuse("a text, bytes, a list or a dict is too long for msgpack");
    }
  }
  void put_unsigned(std::uint64_t value) {
    if (value <= code::last_positive) {
      byte(static_cast<std::uint8_t>(value));
    } else if (value <= std::numeric_limits<std::uint8_t>::max()) {
      put(code::unsigned_8, value, 1);
    } else if (value <= std::numeric_limits<std::uint16_t>::max()) {
      put(code::unsigned_16, value, 2);
    } else if (value <= std::numeric_limits<std::uint32_t>::max()) {
      put(code::unsigned_32, value, 4);
    } else {
      put(code::unsigned_64, value, 8);
    }
  }
  void put_negative(std::int64_t value) {
    const auto bits = static_cast<std::uint64_t>(value);
    if (value >= lowest_fix) {
      byte(static_cast<std::uint8_t>(bits & 0xffU));
    } else if (value >= std::numeric_limits<std::int8_t>::min()) {
      put(code::signed_8, bits, 1);
    } else if (value >= std::numeric_limits<std::int16_t>::min()) {
      put(code::signed_16, bits, 2);
    } else if (value >= std::numeric_limits<std::int32_t>::min()) {
      put(code::signed_32, bits, 4);
    } else {
      put(code::signed_64, bits, 8);
    }
  }

  void add(const Value& value, std::size_t depth) {
    if (!problem_.empty()) return;
    std::visit([&](const auto& what) { add_what(what, depth); }, value.what());
  }
  /// Before the items of a container that is in `depth` others.
  bool may_enter(std::size_t depth) {
    if (depth < MsgpackLimits().depth) return true;
    refuse("the value is nested too deeply");
    return false;
  }

  void add_what(const Value::None&, std::size_t) { byte(code::nil); }
  void add_what(bool value, std::size_t) { byte(value ? code::yes : code::no); }
  void add_what(std::int64_t value, std::size_t) {
    if (value < 0) return put_negative(value);
    put_unsigned(static_cast<std::uint64_t>(value));
  }
  void add_what(const Value::LargeInt& value, std::size_t) {
    constexpr std::size_t word = sizeof(std::uint64_t);
    const BytesView bytes = value.bytes;
    const bool is_negative = !bytes.empty() && (static_cast<unsigned char>(bytes.back()) & 0x80U) != 0;
    std::uint64_t bits = is_negative ? ~std::uint64_t{0} : 0;
    for (std::size_t i = std::min(bytes.size(), word); i-- > 0;)
      bits = bits << 8U | static_cast<unsigned char>(bytes[i]);
    const auto is_sign = [&](char byte) { return byte == static_cast<char>(is_negative ? 0xff : 0); };
    const BytesView above = bytes.substr(std::min(bytes.size(), word));
    const bool fits = std::all_of(above.begin(), above.end(), is_sign) && (!is_negative || bits >> 63U == 1);
    if (!fits) return refuse("an int needs more than 64 bits");
    is_negative ? put_negative(static_cast<std::int64_t>(bits)) : put_unsigned(bits);
  }
  void add_what(double value, std::size_t) { put(code::float_64, std::bit_cast<std::uint64_t>(value), 8); }
  void add_what(const Value::Text& value, std::size_t) {
    if (!is_utf8(value.text)) return refuse("a text is not UTF-8: if it is bytes, pass Value::bytes()");
    put_length(value.text.size(), {code::fix_text, text_mask, code::text_8, code::text_16, code::text_32});
    out_ += value.text;
  }
  void add_what(const Bytes& value, std::size_t) {
    put_length(value.size(), {none, 0, code::bytes_8, code::bytes_16, code::bytes_32});
    out_ += value;
  }
  void add_array(const std::vector<Value>& items, std::size_t depth) {
    if (!may_enter(depth)) return;
    put_length(items.size(), {code::fix_array, few_mask, none, code::array_16, code::array_32});
    for (const Value& item : items) add(item, depth + 1);
  }
  void add_what(const Value::List& list, std::size_t depth) { add_array(list.items, depth); }
  void add_what(const Value::Tuple& tuple, std::size_t depth) { add_array(tuple.items, depth); }
  void add_what(const Value::Set&, std::size_t) { refuse("msgpack has no sets"); }
  void add_what(const Value::Dict& dict, std::size_t depth) {
    if (!may_enter(depth)) return;
    if (dict.keys.size() != dict.values.size()) return refuse("a dict has not as many keys as values");
    put_length(dict.keys.size(), {code::fix_map, few_mask, none, code::map_16, code::map_32});
    for (std::size_t i = 0; i < dict.keys.size(); ++i) {
      if (!is_key(dict.keys[i])) return refuse("a key of a dict is neither text nor bytes");
      add(dict.keys[i], depth + 1);
      add(dict.values[i], depth + 1);
    }
  }

  Bytes out_;
  std::string problem_;  // the first
};

// --- reading

class MsgpackReader {
 public:
  MsgpackReader(BytesView message, const MsgpackLimits& limits) : rest_(message), limits_(limits) {}

  Result<Value> read() {
    Value whole = value(0);
    if (!rest_.empty()) refuse("there are bytes after its end");
    if (!problem_.empty()) return breach(formatted("the msgpack message cannot be read: {}", problem_));
    return whole;
  }

 private:
  void refuse(std::string why) {
    if (problem_.empty()) problem_ = std::move(why);
  }

  BytesView take(std::uint64_t count) {
    if (count > rest_.size()) {
      refuse("it ends in the middle of a value");
      rest_ = {};
      return {};
    }
    const BytesView taken = rest_.substr(0, static_cast<std::size_t>(count));
    rest_.remove_prefix(taken.size());
    return taken;
  }
  std::uint64_t take_number(std::size_t bytes) { return from_big_endian(take(bytes)); }

  /// A value that is in `depth` containers.
  Value value(std::size_t depth) {
    const auto first = static_cast<std::uint8_t>(take_number(1));
    if (problem_.empty() && ++values_ > limits_.values) refuse("it has too many values");
    if (!problem_.empty()) return {};
    if (first <= code::last_positive) return std::int64_t{first};
    if (first < code::fix_array) return map(first & few_mask, depth);
    if (first < code::fix_text) return array(first & few_mask, depth);
    if (first < code::nil) return text(first & text_mask);
    if (first >= code::first_negative) return std::int64_t{static_cast<std::int8_t>(first)};
    switch (first) {
      case code::nil: return {};
      case code::no: return false;
      case code::yes: return true;
      case code::bytes_8: return bytes(take_number(1));
      case code::bytes_16: return bytes(take_number(2));
      case code::bytes_32: return bytes(take_number(4));
      case code::float_32: return double{std::bit_cast<float>(static_cast<std::uint32_t>(take_number(4)))};
      case code::float_64: return std::bit_cast<double>(take_number(8));
      case code::unsigned_8: return take_number(1);
      case code::unsigned_16: return take_number(2);
      case code::unsigned_32: return take_number(4);
      case code::unsigned_64: return take_number(8);
      case code::signed_8: return static_cast<std::int8_t>(take_number(1));
      case code::signed_16: return static_cast<std::int16_t>(take_number(2));
      case code::signed_32: return static_cast<std::int32_t>(take_number(4));
      case code::signed_64: return static_cast<std::int64_t>(take_number(8));
      case code::text_8: return text(take_number(1));
      case code::text_16: return text(take_number(2));
      case code::text_32: return text(take_number(4));
      case code::array_16: return array(take_number(2), depth);
      case code::array_32: return array(take_number(4), depth);
      case code::map_16: return map(take_number(2), depth);
      case code::map_32: return map(take_number(4), depth);
      default: return refuse_code(first);
    }
  }

  Value refuse_code(std::uint8_t first) {
    const bool is_extension = (first >= code::extension_8 && first <= code::extension_32) ||
                              (first >= code::fix_extension_1 && first <= code::fix_extension_16);
    refuse(is_extension ? "it has a value of an extension type" : formatted("the byte {} begins no value", first));
    return {};
  }

  Value text(std::uint64_t length) {
    const BytesView taken = take(length);
    if (!is_utf8(taken)) refuse("a text is not UTF-8");
    if (!problem_.empty()) return {};
    return Value::text(std::string(taken));
  }
  Value bytes(std::uint64_t length) { return Value::bytes(Bytes(take(length))); }

  /// Before the items of a container that is in `depth` others. An item has at least one byte, so a length that the
  /// message cannot hold is known before its items are read.
  bool may_enter(std::uint64_t items, std::size_t depth) {
    if (depth >= limits_.depth) refuse("it is nested too deeply");
    if (items > rest_.size()) refuse("it ends in the middle of a value");
    if (items > limits_.values - values_) refuse("it has too many values");
    return problem_.empty();
  }
  Value array(std::uint64_t count, std::size_t depth) {
    std::vector<Value> items;  // without reserve(): arrays in each other could announce the same bytes
    if (!may_enter(count, depth)) return {};
    for (; count > 0 && problem_.empty(); --count) items.push_back(value(depth + 1));
    return Value::list(std::move(items));
  }
  Value map(std::uint64_t count, std::size_t depth) {
    Value::Dict dict;
    if (!may_enter(2 * count, depth)) return {};
    for (; count > 0 && problem_.empty(); --count) {
      dict.keys.push_back(value(depth + 1));
      if (!is_key(dict.keys.back())) refuse("a key of a map is neither text nor bytes");
      dict.values.push_back(value(depth + 1));
    }
    return Value::What(std::move(dict));
  }

  BytesView rest_;
  const MsgpackLimits& limits_;
  std::string problem_;  // the first
  std::size_t values_ = 0;
};

}  // namespace

Result<Bytes> to_msgpack(const Value& value) { return MsgpackWriter().write(value); }

Result<Value> from_msgpack(BytesView message, const MsgpackLimits& limits) {
  return MsgpackReader(message, limits).read();
}

}  // namespace remsh::buildbot
