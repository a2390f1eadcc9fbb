#include "buildbot/banana.hpp"

#include "base/big_endian.hpp"
#include "base/format.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <string_view>

namespace remsh::buildbot {

namespace {

/// The byte behind the number of an element. All have the high bit, and no digit of a number has it.
enum class Type : std::uint8_t {
  list = 0x80,
  positive = 0x81,
  string = 0x82,
  negative = 0x83,
  real = 0x84,
  long_positive = 0x85,
  long_negative = 0x86,
  word = 0x87,
};

constexpr std::uint8_t first_type = 0x80;
constexpr unsigned bits_of_digit = 7;
constexpr unsigned most_digits = 10;  // those of 64 bits; the last one has one bit
constexpr std::size_t size_of_real = 8;
constexpr std::size_t most_kept = std::size_t{64} * 1024;  // memory for bytes that a reader keeps while it has none

/// The vocabulary of the dialect "pb". The number of the first word is 1.
constexpr std::array<std::string_view, 31> words{
    "None",      "class",     "dereference",   "reference",    "dictionary",    "function", "instance",
    "list",      "module",    "persistent",    "tuple",        "unpersistable", "copy",     "cache",
    "cached",    "remote",    "local",         "lcache",       "version",       "login",    "password",
    "challenge", "logged_in", "not_logged_in", "cachemessage", "message",       "answer",   "error",
    "decref",    "decache",   "uncache"};

/// 0 if the string is no word.
std::uint64_t number_of_word(BytesView string) {
  const auto* const found = std::find(words.begin(), words.end(), string);
  return found == words.end() ? 0 : static_cast<std::uint64_t>(std::distance(words.begin(), found)) + 1;
}

Failure unreadable(std::string_view why) { return breach(formatted("the Banana expression cannot be read: {}", why)); }

}  // namespace

// --- reading

Result<std::optional<Expression>> BananaReader::next() {
  if (failed_) return *failed_;
  auto expression = read();
  if (expression.ok()) {
    drop_read_bytes();
  } else {
    failed_ = expression.failure();
    bytes_ = {};
    open_ = {};
  }
  return expression;
}

Result<std::optional<Expression>> BananaReader::read() {
  if (auto checked = check_limits(); !checked) return std::move(checked).failure();  // they may be new
  for (;;) {
    if (!type_) {
      if (at_ == bytes_.size()) return std::optional<Expression>();
      const auto byte = static_cast<std::uint8_t>(bytes_[at_++]);
      ++size_;
      auto taken = byte < first_type ? read_digit(byte) : read_type(byte);
      if (taken) taken = check_limits();
      if (!taken) return std::move(taken).failure();
      if (!type_) continue;
    }
    if (bytes_.size() - at_ < body_) return std::optional<Expression>();
    auto finished = finish_element();
    if (!finished || finished->has_value()) return finished;
  }
}

Result<void> BananaReader::read_digit(std::uint8_t byte) {
  // Twisted takes up to 64 digits. More than these are needed for no number that is read here.
  const bool is_last = digits_ + 1 == most_digits;
  if (digits_ == most_digits || (is_last && byte > 1)) return unreadable("a number has more than 64 bits");
  number_ |= std::uint64_t{byte} << (bits_of_digit * digits_);
  ++digits_;
  return {};
}

/// The type byte completes the head of an element. What it announces is checked before any of it has come.
Result<void> BananaReader::read_type(std::uint8_t byte) {
  type_ = byte;
  body_ = 0;
  switch (static_cast<Type>(byte)) {
    case Type::list:
      if (number_ > limits_.elements - elements_)
        return unreadable(formatted("it has more than {} elements", limits_.elements));
      elements_ += static_cast<std::size_t>(number_);
      open_.push_back({{}, static_cast<std::size_t>(number_)});
      return {};
    case Type::string:
      if (number_ > limits_.string) return unreadable(formatted("a string has more than {} bytes", limits_.string));
      body_ = static_cast<std::size_t>(number_);
      break;
    case Type::real:
      if (digits_ > 0) return unreadable("a float begins with a number");
      body_ = size_of_real;
      break;
    case Type::word:
      if (number_ == 0 || number_ > words.size()) return unreadable("the vocabulary has no such word");
      break;
    case Type::positive:
    case Type::long_positive:
    case Type::negative:
    case Type::long_negative: break;
    default: return unreadable(formatted("there is no type {}", static_cast<unsigned>(byte)));
  }
  size_ += body_;
  return {};
}

Result<void> BananaReader::check_limits() const {
  if (open_.size() > limits_.depth) return unreadable(formatted("its lists are deeper than {}", limits_.depth));
  if (elements_ > limits_.elements) return unreadable(formatted("it has more than {} elements", limits_.elements));
  if (type_ && static_cast<Type>(*type_) == Type::string && body_ > limits_.string) {
    return unreadable(formatted("a string has more than {} bytes", limits_.string));
  }
  if (size_ > limits_.bytes) return unreadable(formatted("it has more than {} bytes", limits_.bytes));
  return {};
}

/// The number as one with a sign.
Result<std::int64_t> BananaReader::integer(bool is_negative) const {
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (number_ > most + (is_negative ? 1 : 0)) return unreadable("an int has more than 64 bits");
  return static_cast<std::int64_t>(is_negative ? 0 - number_ : number_);
}

/// Makes an expression of the element, which is complete. Returns the whole expression if that is complete as well.
Result<std::optional<Expression>> BananaReader::finish_element() {
  const BytesView body = BytesView(bytes_).substr(at_, body_);
  Expression item;
  bool is_open = false;
  switch (static_cast<Type>(type_.value_or(0))) {
    case Type::list:
      if (open_.back().count > 0) {
        is_open = true;
      } else {
        open_.pop_back();
        item = Expression(Expression::List());
      }
      break;
    case Type::string: item = Expression(Bytes(body)); break;
    case Type::real: item = Expression(std::bit_cast<double>(from_big_endian(body))); break;
    case Type::word: item = Expression(Bytes(words[static_cast<std::size_t>(number_ - 1)])); break;
    default: {
      const auto type = static_cast<Type>(type_.value_or(0));
      auto value = integer(type == Type::negative || type == Type::long_negative);
      if (!value) return std::move(value).failure();
      item = Expression(*value);
    }
  }
  at_ += body_;
  number_ = 0;
  digits_ = 0;
  body_ = 0;
  type_.reset();
  return is_open ? std::optional<Expression>() : put(std::move(item));
}

/// Puts an item into the list that it belongs to. Returns the whole expression if that completes it.
std::optional<Expression> BananaReader::put(Expression item) {
  while (!open_.empty()) {
    Open& list = open_.back();
    list.items.push_back(std::move(item));
    if (list.items.size() < list.count) return std::nullopt;
    item = Expression(std::move(list.items));
    open_.pop_back();
  }
  elements_ = 0;
  size_ = 0;
  return item;
}

/// Each byte is moved at most once: what is kept is never more than what is dropped.
void BananaReader::drop_read_bytes() {
  if (at_ < bytes_.size() - at_) return;
  bytes_.erase(0, at_);
  at_ = 0;
  if (bytes_.empty() && bytes_.capacity() > most_kept) bytes_ = {};
}

// --- writing

namespace {

void append_head(Bytes& to, std::uint64_t number, Type type) {
  do {
    to.push_back(static_cast<char>(number & 0x7FU));
    number >>= bits_of_digit;
  } while (number > 0);
  to.push_back(static_cast<char>(type));
}

void append_integer(Bytes& to, std::int64_t value) {
  const auto bits = static_cast<std::uint64_t>(value);
  if (value >= 0) {
    append_head(to, bits, value > std::numeric_limits<std::int32_t>::max() ? Type::long_positive : Type::positive);
  } else {
    append_head(to, 0 - bits, value < std::numeric_limits<std::int32_t>::min() ? Type::long_negative : Type::negative);
  }
}

void append_real(Bytes& to, double value) {
  to.push_back(static_cast<char>(Type::real));
  append_big_endian(to, std::bit_cast<std::uint64_t>(value), size_of_real);
}

void append_string(Bytes& to, BytesView string, Vocabulary vocabulary) {
  const std::uint64_t word = vocabulary == Vocabulary::pb ? number_of_word(string) : 0;
  if (word > 0) {
    append_head(to, word, Type::word);
  } else {
    append_head(to, string.size(), Type::string);
    to += string;
  }
}

}  // namespace

void append_banana(Bytes& to, const Expression& expression, Vocabulary vocabulary) {
  std::vector<std::span<const Expression>> open{{&expression, 1}};  // what is left of each list
  while (!open.empty()) {
    if (open.back().empty()) {
      open.pop_back();
      continue;
    }
    const Expression& next = open.back().front();
    open.back() = open.back().subspan(1);
    if (const auto* const list = next.get_if<Expression::List>()) {
      append_head(to, list->size(), Type::list);
      open.emplace_back(*list);
    } else if (const auto* const string = next.get_if<Bytes>()) {
      append_string(to, *string, vocabulary);
    } else if (const auto* const real = next.get_if<double>()) {
      append_real(to, *real);
    } else {
      append_integer(to, *next.get_if<std::int64_t>());
    }
  }
}

}  // namespace remsh::buildbot
