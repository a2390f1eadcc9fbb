#include "messages/pickle.hpp"

#include "base/big_endian.hpp"
#include "base/format.hpp"
#include "base/hashable.hpp"
#include "base/text.hpp"
#include "messages/pickle_opcode.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <iterator>
#include <limits>
#include <map>
#include <utility>
#include <variant>
#include <vector>

namespace remsh::messages {

namespace {

constexpr std::uint8_t protocol_written = 4;
constexpr std::uint8_t first_protocol_read = 2;
constexpr std::uint8_t last_protocol_read = 5;

/// The two's complement without bytes that only repeat the sign; empty for 0, as Python writes it.
BytesView shortened(BytesView bytes) {
  const auto sign = [](char byte) { return (static_cast<unsigned char>(byte) & 0x80U) != 0; };
  while (!bytes.empty()) {
    const auto last = static_cast<unsigned char>(bytes.back());
    const bool is_redundant = (last == 0x00 && (bytes.size() == 1 || !sign(bytes[bytes.size() - 2]))) ||
                              (last == 0xFF && bytes.size() > 1 && sign(bytes[bytes.size() - 2]));
    if (!is_redundant) break;
    bytes.remove_suffix(1);
  }
  return bytes;
}

/// Of at most 8 bytes.
std::int64_t small_int(BytesView bytes) {
  const bool is_negative = !bytes.empty() && (static_cast<unsigned char>(bytes.back()) & 0x80U) != 0;
  std::uint64_t bits = is_negative ? ~std::uint64_t{0} : 0;
  for (std::size_t i = bytes.size(); i-- > 0;) bits = bits << 8U | static_cast<unsigned char>(bytes[i]);
  return static_cast<std::int64_t>(bits);
}

// --- writing

class Writer {
 public:
  Result<Bytes> write(const Value& value) {
    put(Opcode::proto);
    byte(protocol_written);
    add(value, 0);
    put(Opcode::stop);
    if (!problem_.empty()) return Failure{Errc::invalid_argument, std::move(problem_)};
    return std::move(out_);
  }

 private:
  void byte(std::uint8_t value) { out_.push_back(static_cast<char>(value)); }
  void put(Opcode code) { byte(static_cast<std::uint8_t>(code)); }
  void number(std::uint64_t value, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) byte(static_cast<std::uint8_t>(value >> (8 * i)));
  }
  void refuse(std::string why) {
    if (problem_.empty()) problem_ = std::move(why);
  }

  void add(const Value& value, std::size_t depth) {
    if (depth > PickleLimits().depth) return refuse("the value is nested too deeply");
    std::visit([&](const auto& what) { add_what(what, depth); }, value.what());
  }

  void add_what(const Value::None&, std::size_t) { put(Opcode::none); }
  void add_what(bool value, std::size_t) { put(value ? Opcode::new_true : Opcode::new_false); }
  void add_what(std::int64_t value, std::size_t) {
    if (value >= 0 && value <= std::numeric_limits<std::uint8_t>::max()) {
      put(Opcode::bin_int1);
      number(static_cast<std::uint64_t>(value), 1);
    } else if (value >= 0 && value <= std::numeric_limits<std::uint16_t>::max()) {
      put(Opcode::bin_int2);
      number(static_cast<std::uint64_t>(value), 2);
    } else if (value >= std::numeric_limits<std::int32_t>::min() && value <= std::numeric_limits<std::int32_t>::max()) {
      put(Opcode::bin_int);
      number(static_cast<std::uint64_t>(value), 4);
    } else {
      Bytes bytes;
      for (unsigned i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i)));
      add_what(Value::LargeInt{std::move(bytes)}, 0);
    }
  }
  void add_what(const Value::LargeInt& value, std::size_t) {
    const BytesView bytes = shortened(value.bytes);
    if (bytes.size() > std::numeric_limits<std::uint8_t>::max()) return refuse("an int has more than 255 bytes");
    put(Opcode::long1);
    byte(static_cast<std::uint8_t>(bytes.size()));
    out_ += bytes;
  }
  void add_what(double value, std::size_t) {
    put(Opcode::bin_float);
    append_big_endian(out_, std::bit_cast<std::uint64_t>(value), 8);
  }
  void add_what(const Value::Text& value, std::size_t) {
    if (!is_utf8(value.text)) return refuse("a text is not UTF-8: if it is bytes, pass Value::bytes()");
    add_string(value.text, Opcode::short_bin_unicode, Opcode::bin_unicode, Opcode::bin_unicode8);
  }
  void add_what(const Bytes& value, std::size_t) {
    add_string(value, Opcode::short_bin_bytes, Opcode::bin_bytes, Opcode::bin_bytes8);
  }
  void add_string(const Bytes& bytes, Opcode up_to_1, Opcode up_to_4, Opcode up_to_8) {
    if (bytes.size() <= std::numeric_limits<std::uint8_t>::max()) {
      put(up_to_1);
      number(bytes.size(), 1);
    } else if (bytes.size() <= std::numeric_limits<std::uint32_t>::max()) {
      put(up_to_4);
      number(bytes.size(), 4);
    } else {
      put(up_to_8);
      number(bytes.size(), 8);
    }
    out_ += bytes;
  }
  void add_items(const std::vector<Value>& items, std::size_t depth) {
    for (const Value& item : items) add(item, depth + 1);
  }
  void add_what(const Value::List& list, std::size_t depth) {
    put(Opcode::empty_list);
    if (list.items.empty()) return;
    put(Opcode::mark);
    add_items(list.items, depth);
    put(Opcode::appends);
  }
  void add_what(const Value::Tuple& tuple, std::size_t depth) {
    if (tuple.items.empty()) return put(Opcode::empty_tuple);
    put(Opcode::mark);
    add_items(tuple.items, depth);
    put(Opcode::tuple);
  }
  void add_what(const Value::Set& set, std::size_t depth) {
    put(Opcode::empty_set);
    if (set.items.empty()) return;
    if (!std::all_of(set.items.begin(), set.items.end(), is_hashable)) refuse("an item of a set cannot be hashed");
    put(Opcode::mark);
    add_items(set.items, depth);
    put(Opcode::add_items);
  }
  void add_what(const Value::Dict& dict, std::size_t depth) {
    put(Opcode::empty_dict);
    if (dict.keys.size() != dict.values.size()) return refuse("a dict has not as many keys as values");
    if (dict.keys.empty()) return;
    if (!std::all_of(dict.keys.begin(), dict.keys.end(), is_hashable)) refuse("a key of a dict cannot be hashed");
    put(Opcode::mark);
    for (std::size_t i = 0; i < dict.keys.size(); ++i) {
      add(dict.keys[i], depth + 1);
      add(dict.values[i], depth + 1);
    }
    put(Opcode::set_items);
  }

  Bytes out_;
  std::string problem_;  // the first
};

// --- reading

/// Runs the steps of a pickle. They make objects that refer to each other, as a container may be referred to before it
/// is filled. In the end the values are made from these objects, within the limits.
class Reader {
 public:
  Reader(BytesView pickle, const PickleLimits& limits) : rest_(pickle), limits_(limits) {}

  Result<Value> read() {
    while (!is_over_ && problem_.empty()) step();
    if (problem_.empty() && !rest_.empty()) refuse("there are bytes after its end");
    if (problem_.empty() && (stack_.size() != 1 || stack_[0] == mark)) refuse("it does not end with one value");
    Value value;
    if (problem_.empty()) value = value_of(stack_[0], 0);
    if (!problem_.empty()) return breach(formatted("the pickle cannot be read: {}", problem_));
    return value;
  }

 private:
  using Index = std::uint32_t;
  static constexpr Index mark = UINT32_MAX;

  struct Object {
    enum class Kind : std::uint8_t { none, boolean, integer, large, real, text, bytes, list, tuple, set, dict };
    Kind kind = Kind::none;
    bool is_open = false;  // its value is being made
    std::int64_t integer = 0;
    double real = 0;
    BytesView view = {};            // of the pickle
    std::vector<Index> items = {};  // of a dict: keys and values in turn
  };

  void refuse(std::string why) {
    if (problem_.empty()) problem_ = std::move(why);
  }

  BytesView take(std::uint64_t count) {
    if (count > rest_.size()) {
      refuse("it ends in the middle of a step");
      rest_ = {};
      return {};
    }
    const BytesView taken = rest_.substr(0, static_cast<std::size_t>(count));
    rest_.remove_prefix(taken.size());
    return taken;
  }
  std::uint64_t take_number(std::size_t bytes) {
    std::uint64_t number = 0;
    const BytesView taken = take(bytes);
    for (std::size_t i = taken.size(); i-- > 0;) number = number << 8U | static_cast<unsigned char>(taken[i]);
    return number;
  }

  void push(Object object) {
    if (objects_.size() >= limits_.values) return refuse("it has too many values");
    objects_.push_back(std::move(object));
    stack_.push_back(static_cast<Index>(objects_.size() - 1));
  }
  void push_int(std::int64_t value) { push({.kind = Object::Kind::integer, .integer = value}); }
  void push_view(Object::Kind kind, BytesView view) {
    if (kind == Object::Kind::text && !is_utf8(view)) return refuse("a text is not UTF-8");
    push({.kind = kind, .view = view});
  }
  void push_long(BytesView bytes) {
    const BytesView view = shortened(bytes);
    if (view.size() <= sizeof(std::int64_t)) return push_int(small_int(view));
    push({.kind = Object::Kind::large, .view = view});
  }

  void put_mark() {
    if (++marks_ > limits_.values) return refuse("it has too many values");
    stack_.push_back(mark);
  }

  /// Takes the values above the last mark off the stack, and the mark.
  std::vector<Index> take_marked() {
    const auto last = std::find(stack_.rbegin(), stack_.rend(), mark);
    if (last == stack_.rend()) {
      refuse("a mark is missing");
      return {};
    }
    std::vector<Index> items(last.base(), stack_.end());
    stack_.erase(std::prev(last.base()), stack_.end());
    return items;
  }
  /// Takes the last values off the stack.
  std::vector<Index> take_last(std::size_t count) {
    const auto begin = stack_.size() < count ? stack_.end() : stack_.end() - static_cast<std::ptrdiff_t>(count);
    if (stack_.size() < count || std::find(begin, stack_.end(), mark) != stack_.end()) {
      refuse("a value is missing");
      return {};
    }
    std::vector<Index> items(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    return items;
  }
  /// Fills the container on top of the stack.
  void fill(Object::Kind kind, const std::vector<Index>& items) {
    if (!problem_.empty()) return;
    if (stack_.empty() || stack_.back() == mark || objects_[stack_.back()].kind != kind) {
      return refuse("the container for some values is missing");
    }
    if (kind == Object::Kind::dict && items.size() % 2 != 0) return refuse("a key of a dict has no value");
    auto& to = objects_[stack_.back()].items;
    to.insert(to.end(), items.begin(), items.end());
  }
  void push_tuple(std::vector<Index> items) { push({.kind = Object::Kind::tuple, .items = std::move(items)}); }

  void remember(std::uint64_t number) {
    if (stack_.empty() || stack_.back() == mark) return refuse("there is nothing to remember");
    memo_[number] = stack_.back();
    if (memo_.size() > limits_.values) refuse("it remembers too many values");
  }
  void recall(std::uint64_t number) {
    const auto found = memo_.find(number);
    if (found == memo_.end()) return refuse("it refers to something that is not there");
    // A step of two bytes must not cost more than one that makes a value.
    if (++recalls_ > limits_.values) return refuse("it has too many values");
    stack_.push_back(found->second);
  }

  void step() {
    using Kind = Object::Kind;
    const auto code = static_cast<std::uint8_t>(take_number(1));
    if (!problem_.empty()) return;
    switch (static_cast<Opcode>(code)) {
      case Opcode::proto: {
        const auto protocol = take_number(1);
        if (protocol < first_protocol_read || protocol > last_protocol_read) refuse("its protocol is not 2 to 5");
        break;
      }
      case Opcode::frame: take_number(8); break;  // for readers that buffer; the steps are the same
      case Opcode::stop: is_over_ = true; break;
      case Opcode::mark: put_mark(); break;
      case Opcode::none: push({}); break;
      case Opcode::new_true: push({.kind = Kind::boolean, .integer = 1}); break;
      case Opcode::new_false: push({.kind = Kind::boolean}); break;
      case Opcode::bin_int1: push_int(static_cast<std::int64_t>(take_number(1))); break;
      case Opcode::bin_int2: push_int(static_cast<std::int64_t>(take_number(2))); break;
      case Opcode::bin_int: push_int(static_cast<std::int32_t>(static_cast<std::uint32_t>(take_number(4)))); break;
      case Opcode::long1: push_long(take(take_number(1))); break;
      case Opcode::bin_float:
        push({.kind = Kind::real, .real = std::bit_cast<double>(from_big_endian(take(8)))});
        break;
      case Opcode::short_bin_unicode: push_view(Kind::text, take(take_number(1))); break;
      case Opcode::bin_unicode: push_view(Kind::text, take(take_number(4))); break;
      case Opcode::bin_unicode8: push_view(Kind::text, take(take_number(8))); break;
      case Opcode::short_bin_bytes: push_view(Kind::bytes, take(take_number(1))); break;
      case Opcode::bin_bytes: push_view(Kind::bytes, take(take_number(4))); break;
      case Opcode::bin_bytes8: push_view(Kind::bytes, take(take_number(8))); break;
      case Opcode::empty_list: push({.kind = Kind::list}); break;
      case Opcode::append: fill(Kind::list, take_last(1)); break;
      case Opcode::appends: fill(Kind::list, take_marked()); break;
      case Opcode::empty_set: push({.kind = Kind::set}); break;
      case Opcode::add_items: fill(Kind::set, take_marked()); break;
      case Opcode::empty_dict: push({.kind = Kind::dict}); break;
      case Opcode::set_item: fill(Kind::dict, take_last(2)); break;
      case Opcode::set_items: fill(Kind::dict, take_marked()); break;
      case Opcode::empty_tuple: push_tuple({}); break;
      case Opcode::tuple1: push_tuple(take_last(1)); break;
      case Opcode::tuple2: push_tuple(take_last(2)); break;
      case Opcode::tuple3: push_tuple(take_last(3)); break;
      case Opcode::tuple: push_tuple(take_marked()); break;
      case Opcode::memoize: remember(memo_.size()); break;
      case Opcode::bin_put: remember(take_number(1)); break;
      case Opcode::long_bin_put: remember(take_number(4)); break;
      case Opcode::bin_get: recall(take_number(1)); break;
      case Opcode::long_bin_get: recall(take_number(4)); break;
      default: refuse_step(code);
    }
  }

  void refuse_step(std::uint8_t code) {
    const std::string_view name = refused_opcode(code);
    if (name.empty()) return refuse(formatted("the byte {} is no step of a pickle", code));
    refuse(formatted("it has the step {}, which plain data does not need; nothing is imported or called", name));
  }

  Value value_of(Index index, std::size_t depth) {
    Object& object = objects_[index];
    if (object.is_open) refuse("a container contains itself");
    if (depth > limits_.depth) refuse("it is nested too deeply");
    if (++values_ > limits_.values) refuse("it has too many values");
    bytes_ += object.view.size();
    if (bytes_ > limits_.bytes) refuse("its texts are too long together");
    if (!problem_.empty()) return {};
    using Kind = Object::Kind;
    switch (object.kind) {
      case Kind::none: return {};
      case Kind::boolean: return object.integer != 0;
      case Kind::integer: return object.integer;
      case Kind::real: return object.real;
      case Kind::large: return Value::What(Value::LargeInt{Bytes(object.view)});
      case Kind::text: return Value::text(std::string(object.view));
      case Kind::bytes: return Value::bytes(Bytes(object.view));
      case Kind::list: return Value::list(values_of(object, depth));
      case Kind::tuple: return Value::tuple(values_of(object, depth));
      case Kind::set: {
        auto items = values_of(object, depth);
        if (!std::all_of(items.begin(), items.end(), is_hashable)) refuse("an item of a set cannot be hashed");
        return Value::set(std::move(items));
      }
      case Kind::dict: return dict_of(object, depth);
    }
    return {};
  }

  std::vector<Value> values_of(Object& object, std::size_t depth) {
    std::vector<Value> values;
    object.is_open = true;
    for (const Index item : object.items) {
      values.push_back(value_of(item, depth + 1));
      if (!problem_.empty()) break;
    }
    object.is_open = false;
    return values;
  }

  Value dict_of(Object& object, std::size_t depth) {
    auto flat = values_of(object, depth);
    Value::Dict dict;
    for (std::size_t i = 0; i + 1 < flat.size(); i += 2) {
      dict.keys.push_back(std::move(flat[i]));
      dict.values.push_back(std::move(flat[i + 1]));
    }
    if (!std::all_of(dict.keys.begin(), dict.keys.end(), is_hashable)) refuse("a key of a dict cannot be hashed");
    return Value::What(std::move(dict));
  }

  BytesView rest_;
  const PickleLimits& limits_;
  std::string problem_;  // the first
  bool is_over_ = false;
  std::vector<Object> objects_;
  std::vector<Index> stack_;
  std::map<std::uint64_t, Index> memo_;  // the numbers are the sender's
  std::size_t recalls_ = 0;
  std::size_t marks_ = 0;
  std::size_t values_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace

Result<Bytes> to_pickle(const Value& value) { return Writer().write(value); }

Result<Value> from_pickle(BytesView pickle, const PickleLimits& limits) { return Reader(pickle, limits).read(); }

}  // namespace remsh::messages
