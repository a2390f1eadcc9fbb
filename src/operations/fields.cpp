#include "operations/fields.hpp"

#include "base/format.hpp"
#include "operations/exclude.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <limits>
#include <string>
#include <system_error>

namespace remsh::operations {

namespace {

// About 31 years: small enough to add to a clock of nanoseconds.
constexpr std::uint64_t max_milliseconds = 1'000'000'000'000;

constexpr BytesView missing_type = "missing";

constexpr std::array file_types{FileType::file,         FileType::directory, FileType::symlink,
                                FileType::fifo,         FileType::socket,    FileType::character_device,
                                FileType::block_device, FileType::unknown};

constexpr std::array<BytesView, 3> log_begins{"changed", "start", "end"};  // in the order of LogBegin

bool has_zero(BytesView bytes) { return bytes.find('\0') != BytesView::npos; }

}  // namespace

Bytes join_list(const std::vector<Bytes>& elements) {
  std::size_t size = elements.size();
  for (const Bytes& element : elements) size += element.size();
  Bytes text;
  text.reserve(size);
  for (const Bytes& element : elements) {
    assert(!has_zero(element));
    text.append(element).push_back('\0');
  }
  return text;
}

Result<std::vector<Bytes>> split_list(BytesView text) {
  if (!text.empty() && text.back() != '\0') return Failure{Errc::invalid_argument, "a list without its last zero byte"};
  std::vector<Bytes> elements;
  elements.reserve(static_cast<std::size_t>(std::count(text.begin(), text.end(), '\0')));
  while (!text.empty()) {
    const auto end = text.find('\0');
    elements.emplace_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  return elements;
}

// --- writing

void FieldWriter::mode(BytesView key, std::uint32_t value) {
  std::array<char, 11> digits;
  const char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), value, 8).ptr;
  set(key, BytesView(digits.data(), static_cast<std::size_t>(end - digits.data())));
}

void FieldWriter::moment(BytesView key, std::chrono::sys_time<std::chrono::nanoseconds> value) {
  set(key, Decimal(value.time_since_epoch().count()));
}

void FieldWriter::duration(BytesView key, std::chrono::milliseconds value) {
  const auto count = std::max(value.count(), std::chrono::milliseconds::rep{0});
  number(key, std::min(static_cast<std::uint64_t>(count), max_milliseconds));
}

void FieldWriter::environment(BytesView key, const std::map<Bytes, Bytes>& value) {
  std::vector<Bytes> elements;
  elements.reserve(value.size());
  for (const auto& [name, text] : value) elements.push_back(name + '=' + text);
  set(key, join_list(elements));
}

void FieldWriter::pairs(BytesView key, const std::map<Bytes, Bytes>& value) {
  std::vector<Bytes> elements;
  elements.reserve(value.size() * 2);
  for (const auto& [name, text] : value) {
    elements.push_back(name);
    elements.push_back(text);
  }
  set(key, join_list(elements));
}

void FieldWriter::log_files(BytesView key, const std::vector<LogRequest>& value) {
  std::vector<Bytes> elements;
  for (const LogRequest& log : value) {
    elements.push_back(log.path);
    elements.emplace_back(log_begins.at(static_cast<std::size_t>(log.begin)));
  }
  if (!elements.empty()) set(key, join_list(elements));
}

void FieldWriter::output(BytesView key, OutputMode value, bool may_merge) {
  assert(may_merge || value != OutputMode::merge);
  static_cast<void>(may_merge);
  if (value != OutputMode::discard) set(key, value == OutputMode::merge ? "merge" : "stream");
}

void FieldWriter::exit_status(const std::optional<int>& code, const std::optional<int>& signal) {
  assert(code.has_value() != signal.has_value());
  if (code) set("exit", Decimal(*code));
  if (signal) set("signal", Decimal(*signal));
}

void FieldWriter::file_info(const std::optional<FileInfo>& value) {
  if (!value) return set("type", missing_type);
  mode("mode", value->mode);
  moment("mtime", value->mtime);
  number("size", value->size);
  set("type", to_string(value->type));
}

// --- reading

void FieldReader::fail(BytesView key, std::string_view what) {
  if (!failure_) failure_ = Failure{Errc::invalid_argument, formatted("'{}' {}", key, what)};
}

std::optional<BytesView> FieldReader::get(BytesView key) {
  for (std::size_t index = 0; const Box::Field& field : box_) {
    if (field.key == key) {
      if (index < read_.size()) read_.set(index);
      return field.value;
    }
    ++index;
  }
  return std::nullopt;
}

void FieldReader::require_all_read() {
  if (read_.count() == box_.size()) return;
  for (std::size_t i = 0; const Box::Field& field : box_) {
    if (i >= read_.size() || !read_[i]) return fail(field.key, "is an argument that this slave does not know");
    ++i;
  }
}

BytesView FieldReader::required(BytesView key) {
  const auto value = get(key);
  if (!value) fail(key, "is missing");
  return value.value_or(BytesView());
}

void FieldReader::path(BytesView key, Bytes& value) {
  value = required(key);
  if (value.empty()) fail(key, "is an empty path");
  if (has_zero(value)) fail(key, "is a path with a zero byte");
}

void FieldReader::absolute_path(BytesView key, Bytes& value) {
  path(key, value);
  if (!value.starts_with('/')) fail(key, "is not an absolute path");
}

void FieldReader::file_name(BytesView key, Bytes& value) {
  value = required(key);
  const bool is_name = !value.empty() && value != "." && value != ".." && value.find('/') == Bytes::npos;
  if (!is_name || has_zero(value)) fail(key, "is not a name in a directory");
}

void FieldReader::any_path(BytesView key, std::optional<Bytes>& value) {
  const auto given = get(key);
  if (!given) return;
  value.emplace();
  if (!given->empty()) path(key, *value);
}

void FieldReader::op(BytesView key, Bytes& value) {
  constexpr std::size_t longest = 16;
  value = required(key);
  if (value.empty() || value.size() > longest) fail(key, "is not an op of 1 to 16 bytes");
}

void FieldReader::optional_text(BytesView key, Bytes& value) {
  if (!has(key)) return;
  value = required(key);
  if (value.size() > max_text) fail(key, formatted("is longer than {} bytes", max_text));
}

void FieldReader::optional_name(BytesView key, Bytes& value) {
  if (!has(key)) return;
  value = required(key);
  if (value.empty() || has_zero(value)) fail(key, "is empty or contains a zero byte");
}

void FieldReader::moment(BytesView key, std::chrono::sys_time<std::chrono::nanoseconds>& value) {
  value = std::chrono::sys_time<std::chrono::nanoseconds>(std::chrono::nanoseconds(signed_number(key)));
}

void FieldReader::flag(BytesView key, bool& value) {
  const auto given = get(key);
  if (given && *given != "1") fail(key, "is a flag, which is 1 or absent");
  value = given.has_value();
}

std::uint64_t FieldReader::number_from(BytesView key, std::uint64_t min, std::uint64_t max) {
  const auto value = from_decimal(required(key));
  if (!value) {
    fail(key, "is not a decimal number");
  } else if (*value < min || *value > max) {
    fail(key, formatted("is not from {} to {}", min, max));
  }
  return value.value_or(0);
}

void FieldReader::number(BytesView key, std::uint64_t& value, std::uint64_t min, std::uint64_t max) {
  value = number_from(key, min, max);
}

void FieldReader::optional_time(BytesView key, std::optional<std::chrono::microseconds>& value) {
  constexpr auto max = static_cast<std::uint64_t>(std::chrono::microseconds::max().count());
  if (has(key)) value = std::chrono::microseconds(static_cast<std::int64_t>(number_from(key, 0, max)));
}

std::int64_t FieldReader::signed_number(BytesView key) {
  BytesView text = required(key);
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const auto magnitude = from_decimal(text);
  constexpr auto max = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (!magnitude || *magnitude > max + (negative ? 1 : 0) || (negative && *magnitude == 0)) {
    fail(key, "is not a decimal number of 64 bits");
    return 0;
  }
  return static_cast<std::int64_t>(negative ? 0 - *magnitude : *magnitude);
}

void FieldReader::optional_integer(BytesView key, std::optional<std::int32_t>& value, std::int32_t min,
                                   std::int32_t max) {
  if (!has(key)) return;
  const std::int64_t number = signed_number(key);
  if (number < min || number > max) return fail(key, formatted("is not from {} to {}", min, max));
  value = static_cast<std::int32_t>(number);
}

/// Permission bits: up to four octal digits, so 644 and 0644 are both accepted.
void FieldReader::mode(BytesView key, std::uint32_t& value) {
  const BytesView text = required(key);
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value, 8);
  if (error != std::errc() || at != end || text.size() > 4) fail(key, "is not a mode of one to four octal digits");
}

void FieldReader::milliseconds(BytesView key, std::uint64_t min, std::chrono::milliseconds& value) {
  if (!has(key)) return;
  value = std::chrono::milliseconds(static_cast<std::int64_t>(number_from(key, min, max_milliseconds)));
}

std::vector<Bytes> FieldReader::elements(BytesView key) {
  auto split = split_list(required(key));
  if (split.ok()) return std::move(*split);
  fail(key, "is not a list of elements that end with a zero byte");
  return {};
}

void FieldReader::list(BytesView key, std::vector<Bytes>& value) {
  value = elements(key);
  if (value.empty()) fail(key, "is an empty list");
}

void FieldReader::optional_list(BytesView key, std::vector<Bytes>& value) {
  if (!has(key)) return;
  list(key, value);
  for (const Bytes& element : value) {
    if (element.empty()) return fail(key, "has an empty element");
  }
}

void FieldReader::assignments(BytesView key, std::vector<Bytes>& value) {
  if (!has(key)) return;
  value = elements(key);
  for (const Bytes& element : value) {
    const auto equals = element.find('=');
    if (equals == Bytes::npos || equals == 0) return fail(key, "has an element that is not NAME=value");
  }
}

void FieldReader::names(BytesView key, std::vector<Bytes>& value) {
  if (!has(key)) return;
  value = elements(key);
  for (const Bytes& name : value) {
    if (name.empty() || name.find('=') != Bytes::npos) fail(key, "has an element that is not a name");
  }
}

void FieldReader::paths(BytesView key, std::vector<Bytes>& value) {
  if (!has(key)) return;
  value = elements(key);
  if (std::find(value.begin(), value.end(), Bytes()) != value.end()) fail(key, "has an empty path");
}

void FieldReader::patterns(BytesView key, std::vector<Bytes>& value) {
  if (!has(key)) return;
  value = elements(key);
  if (value.size() > max_patterns) return fail(key, formatted("has more than {} patterns", max_patterns));
  for (const Bytes& pattern : value) {
    const auto why = why_not_pattern(pattern);
    if (!why.empty()) return fail(key, formatted("has an element that is not a pattern: {}", why));
  }
}

void FieldReader::environment(BytesView key, std::map<Bytes, Bytes>& value) {
  for (const Bytes& element : elements(key)) {
    const auto equals = element.find('=');
    if (equals == Bytes::npos || equals == 0) return fail(key, "has an element that is not NAME=value");
    const bool is_new = value.emplace(element.substr(0, equals), element.substr(equals + 1)).second;
    if (!is_new) fail(key, "has a name twice");
  }
}

void FieldReader::pairs(BytesView key, std::map<Bytes, Bytes>& value) {
  auto list = elements(key);
  if (list.size() % 2 != 0) return fail(key, "has a name without a value");
  for (std::size_t i = 0; i < list.size(); i += 2) {
    if (list[i].empty()) fail(key, "has an empty name");
    if (!value.emplace(std::move(list[i]), std::move(list[i + 1])).second) fail(key, "has a name twice");
  }
}

void FieldReader::log_files(BytesView key, std::vector<LogRequest>& value) {
  if (!has(key)) return;
  auto list = elements(key);
  if (list.empty() || list.size() % 2 != 0) return fail(key, "is not a list of alternately a path and a word");
  if (list.size() > 2 * max_logs) return fail(key, formatted("has more than {} files", max_logs));
  for (std::size_t i = 0; i < list.size(); i += 2) {
    const auto begin = std::find(log_begins.begin(), log_begins.end(), list[i + 1]);
    if (list[i].empty()) return fail(key, "has an empty path");
    if (begin == log_begins.end()) return fail(key, "has a word that is not changed, start or end");
    value.push_back({std::move(list[i]), static_cast<LogBegin>(begin - log_begins.begin())});
  }
}

void FieldReader::output(BytesView key, OutputMode& value, bool may_merge) {
  const auto given = get(key);
  if (!given) return;
  if (*given == "merge" && may_merge) {
    value = OutputMode::merge;
    return;
  }
  if (*given != "stream") fail(key, may_merge ? "is not stream or merge" : "is not stream");
  value = OutputMode::stream;
}

void FieldReader::exit_status(std::optional<int>& code, std::optional<int>& signal) {
  if (has("signal")) {
    if (has("exit")) fail("exit", "is there beside 'signal'");
    signal = static_cast<int>(number_from("signal", 1, 127));
  } else {
    code = static_cast<int>(number_from("exit", 0, 255));
  }
}

void FieldReader::file_info(std::optional<FileInfo>& value) {
  const BytesView type = required("type");
  if (type == missing_type) {
    for (const BytesView key : {"mode", "mtime", "size"}) {
      if (has(key)) fail(key, "is there although the path is missing");
    }
    return;
  }
  const auto known = std::find_if(file_types.begin(), file_types.end(),
                                  [type](FileType candidate) { return to_string(candidate) == type; });
  if (known == file_types.end()) return fail("type", "is not a file type");
  FileInfo& info = value.emplace();
  info.type = *known;
  number("size", info.size);
  mode("mode", info.mode);
  moment("mtime", info.mtime);
}

}  // namespace remsh::operations
