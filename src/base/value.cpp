#include <remsh/base/value.hpp>

#include "base/format.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <string_view>
#include <variant>

namespace remsh {

namespace {

/// As Python's repr() has a str or bytes. Of bytes, all that is not ASCII is escaped.
std::string quoted(BytesView text, bool is_bytes) {
  const bool has_single = text.find('\'') != BytesView::npos;
  const char quote = has_single && text.find('"') == BytesView::npos ? '"' : '\'';
  std::string result = is_bytes ? "b" : "";
  result += quote;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == quote || c == '\\') {
      result += '\\';
      result += c;
    } else if (c == '\n') {
      result += "\\n";
    } else if (c == '\r') {
      result += "\\r";
    } else if (c == '\t') {
      result += "\\t";
    } else if (byte < 0x20 || byte == 0x7f || (is_bytes && byte > 0x7f)) {
      result += formatted("\\x{:02x}", byte);
    } else {
      result += c;
    }
  }
  return result + quote;
}

std::string decimal(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
  std::array<char, 32> digits{};
  const double size = std::abs(number);
  const bool is_plain = size == 0 || (size >= 1e-4 && size < 1e16);  // where Python begins to write an exponent
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), number,
                                          is_plain ? std::chars_format::fixed : std::chars_format::scientific);
  std::string text(digits.data(), end);
  if (is_plain && text.find('.') == std::string::npos) text += ".0";
  return text;
}

std::string decimal(const Value::LargeInt& number) {
  Bytes bytes = number.bytes;
  const bool is_negative = !bytes.empty() && (static_cast<unsigned char>(bytes.back()) & 0x80U) != 0;
  if (is_negative) {  // its magnitude: all bits turned over, plus one
    bool carry = true;
    for (char& byte : bytes) {
      byte = static_cast<char>(~static_cast<unsigned char>(byte));
      if (carry) carry = ++byte == 0;
    }
    if (carry) bytes.push_back(1);
  }
  std::string digits;  // the lowest first
  while (std::any_of(bytes.begin(), bytes.end(), [](char byte) { return byte != 0; })) {
    unsigned rest = 0;
    for (auto byte = bytes.rbegin(); byte != bytes.rend(); ++byte) {
      const unsigned part = rest * 256 + static_cast<unsigned char>(*byte);
      *byte = static_cast<char>(part / 10);
      rest = part % 10;
    }
    digits += static_cast<char>('0' + rest);
  }
  if (digits.empty()) digits = "0";
  if (is_negative) digits += '-';
  return {digits.rbegin(), digits.rend()};
}

std::string listed(std::string_view open, const std::vector<Value>& items, std::string_view close) {
  std::string text(open);
  for (const Value& item : items) {
    if (&item != &items.front()) text += ", ";
    text += to_string(item);
  }
  return text += close;
}

struct Writer {
  std::string operator()(Value::None) const { return "None"; }
  std::string operator()(bool value) const { return value ? "True" : "False"; }
  std::string operator()(std::int64_t value) const { return std::to_string(value); }
  std::string operator()(const Value::LargeInt& value) const { return decimal(value); }
  std::string operator()(double value) const { return decimal(value); }
  std::string operator()(const Value::Text& value) const { return quoted(value.text, false); }
  std::string operator()(const Bytes& value) const { return quoted(value, true); }
  std::string operator()(const Value::List& value) const { return listed("[", value.items, "]"); }
  std::string operator()(const Value::Tuple& value) const {
    return listed("(", value.items, value.items.size() == 1 ? ",)" : ")");
  }
  std::string operator()(const Value::Set& value) const {
    return value.items.empty() ? "set()" : listed("{", value.items, "}");
  }
  std::string operator()(const Value::Dict& value) const {
    std::string text = "{";
    for (std::size_t i = 0; i < value.keys.size(); ++i) {
      if (i > 0) text += ", ";
      text += to_string(value.keys[i]) + ": " + to_string(value.values[i]);
    }
    return text + "}";
  }
};

}  // namespace

std::string to_string(const Value& value) { return std::visit(Writer(), value.what()); }

}  // namespace remsh
