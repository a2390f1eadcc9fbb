// FieldWriter, FieldReader: convert the values of a message to fields of a box, and back. docs/protocol.md section 7.
//
// A message describes its fields once, in a function `describe(fields, self)`, which is called with either class:
//
//     struct Request {
//       Bytes path;
//       bool nofollow = false;
//       static void describe(auto& fields, auto& self) {
//         fields.path("path", self.path);
//         fields.flag("nofollow", self.nofollow);
//       }
//     };
//     const Box box = to_box(Request{"a"});
//     const Result<Request> request = from_box<Request>(box);
//
// Each kind of field is one function of the same name in both classes. A box here holds only arguments or results:
// `_command`, `_ask`, `_answer` and `op` are added by rpc, which also splits and joins long values.
#pragma once

#include "base/decimal.hpp"
#include "base/result.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/connection/box.hpp>
#include <remsh/operations/execute.hpp>
#include <remsh/operations/filesystem.hpp>

#include <bitset>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace remsh::operations {

/// A list in its encoding on the wire: every element followed by a zero byte, which elements must not contain.
Bytes join_list(const std::vector<Bytes>& elements);
Result<std::vector<Bytes>> split_list(BytesView text);

/// How long an optional_text may be.
inline constexpr std::size_t max_text = 1024;

/// The destination of one output of a command.
enum class OutputMode : std::uint8_t { discard, stream, merge };

/// A log file of a command, as it is asked for.
struct LogRequest {
  Bytes path;
  LogBegin begin = LogBegin::changed;
};

/// How many log files a command may have.
inline constexpr std::size_t max_logs = 64;

/// Writes the fields of a message into a box.
class FieldWriter {
 public:
  void path(BytesView key, const Bytes& value) { set(key, value); }
  void absolute_path(BytesView key, const Bytes& value) { set(key, value); }
  /// A name in a directory.
  void file_name(BytesView key, const Bytes& value) { set(key, value); }
  /// A path that may be empty or absent, with different meanings.
  void any_path(BytesView key, const std::optional<Bytes>& value) {
    if (value) set(key, *value);
  }
  /// A path; absent if it is empty.
  void optional_path(BytesView key, const Bytes& value) {
    if (!value.empty()) set(key, value);
  }
  /// The name of an operation in progress.
  void op(BytesView key, const Bytes& value) { set(key, value); }
  /// A text without a zero byte; absent if it is empty.
  void optional_name(BytesView key, const Bytes& value) { optional_text(key, value); }
  /// Text for people, at most max_text bytes; absent if it is empty.
  void optional_text(BytesView key, const Bytes& value) {
    if (!value.empty()) set(key, value);
  }
  /// Any bytes; may be empty.
  void text(BytesView key, const Bytes& value) { set(key, value); }
  /// In nanoseconds since 1970; may be negative.
  void moment(BytesView key, std::chrono::sys_time<std::chrono::nanoseconds> value);
  void flag(BytesView key, bool value) {
    if (value) set(key, "1");
  }
  /// A flag that turns off what is on by default.
  void off_flag(BytesView key, bool value) { flag(key, !value); }
  /// Reads fail unless it is from `min` to `max`.
  void number(BytesView key, std::uint64_t value, std::uint64_t /*min*/ = 0,
              std::uint64_t /*max*/ = std::numeric_limits<std::uint64_t>::max()) {
    set(key, Decimal(value));
  }
  void optional_number(BytesView key, const std::optional<std::uint64_t>& value) {
    if (value) number(key, *value);
  }
  /// A number that may be negative, from `min` to `max`.
  void optional_integer(BytesView key, const std::optional<std::int32_t>& value, std::int32_t /*min*/,
                        std::int32_t /*max*/) {
    if (value) set(key, Decimal(*value));
  }
  /// In microseconds; not negative.
  void optional_time(BytesView key, const std::optional<std::chrono::microseconds>& value) {
    if (value) number(key, static_cast<std::uint64_t>(value->count()));
  }
  void mode(BytesView key, std::uint32_t value);
  void optional_mode(BytesView key, const std::optional<std::uint32_t>& value) {
    if (value) mode(key, *value);
  }
  /// 0: no limit; then absent.
  void time_limit(BytesView key, std::chrono::milliseconds value) {
    if (value.count() > 0) duration(key, value);
  }
  /// If absent, the default of the message.
  void duration(BytesView key, std::chrono::milliseconds value);
  /// At least one element.
  void list(BytesView key, const std::vector<Bytes>& value) { set(key, join_list(value)); }
  /// Elements that are not empty; absent if there are none.
  void optional_list(BytesView key, const std::vector<Bytes>& value) {
    if (!value.empty()) set(key, join_list(value));
  }
  /// Elements of the form NAME=value.
  void assignments(BytesView key, const std::vector<Bytes>& value) {
    if (!value.empty()) set(key, join_list(value));
  }
  void names(BytesView key, const std::vector<Bytes>& value) {
    if (!value.empty()) set(key, join_list(value));
  }
  /// Paths that are not empty; absent if there is none.
  void paths(BytesView key, const std::vector<Bytes>& value) {
    if (!value.empty()) set(key, join_list(value));
  }
  /// Patterns of entries that a tree leaves out.
  void patterns(BytesView key, const std::vector<Bytes>& value) {
    if (!value.empty()) set(key, join_list(value));
  }
  void environment(BytesView key, const std::map<Bytes, Bytes>& value);
  void pairs(BytesView key, const std::map<Bytes, Bytes>& value);
  /// Absent if there are none.
  void optional_pairs(BytesView key, const std::map<Bytes, Bytes>& value) {
    if (!value.empty()) pairs(key, value);
  }
  /// At most max_logs; absent if there are none.
  void log_files(BytesView key, const std::vector<LogRequest>& value);
  /// `may_merge`: the output may be merged into the other one.
  void output(BytesView key, OutputMode value, bool may_merge = false);
  /// Exactly one of the two is set.
  void exit_status(const std::optional<int>& code, const std::optional<int>& signal);
  /// nullopt: the path does not exist.
  void file_info(const std::optional<FileInfo>& value);

  [[nodiscard]] Box&& box() && noexcept { return std::move(box_); }

 private:
  void set(BytesView key, BytesView value) {
    if (box_.empty()) box_.reserve(6, 100);  // for most messages
    box_.set(key, value);
  }

  Box box_;
};

/// Reads values from a box that a peer sent, and keeps the first reason why it is invalid; from then on the values are
/// meaningless. One thread at a time.
class FieldReader {
 public:
  explicit FieldReader(const Box& box) : box_(box) {}

  void path(BytesView key, Bytes& value);
  void absolute_path(BytesView key, Bytes& value);
  void file_name(BytesView key, Bytes& value);
  void any_path(BytesView key, std::optional<Bytes>& value);
  void optional_path(BytesView key, Bytes& value) {
    if (has(key)) path(key, value);
  }
  void op(BytesView key, Bytes& value);
  void optional_name(BytesView key, Bytes& value);
  void optional_text(BytesView key, Bytes& value);
  void text(BytesView key, Bytes& value) { value = required(key); }
  void moment(BytesView key, std::chrono::sys_time<std::chrono::nanoseconds>& value);
  void flag(BytesView key, bool& value);
  void off_flag(BytesView key, bool& value) {
    flag(key, value);
    value = !value;
  }
  void number(BytesView key, std::uint64_t& value, std::uint64_t min = 0,
              std::uint64_t max = std::numeric_limits<std::uint64_t>::max());
  void optional_number(BytesView key, std::optional<std::uint64_t>& value) {
    if (has(key)) number(key, value.emplace());
  }
  void optional_integer(BytesView key, std::optional<std::int32_t>& value, std::int32_t min, std::int32_t max);
  void optional_time(BytesView key, std::optional<std::chrono::microseconds>& value);
  void mode(BytesView key, std::uint32_t& value);
  void optional_mode(BytesView key, std::optional<std::uint32_t>& value) {
    if (has(key)) mode(key, value.emplace());
  }
  void time_limit(BytesView key, std::chrono::milliseconds& value) { milliseconds(key, 1, value); }
  void duration(BytesView key, std::chrono::milliseconds& value) { milliseconds(key, 0, value); }
  void list(BytesView key, std::vector<Bytes>& value);
  void optional_list(BytesView key, std::vector<Bytes>& value);
  void assignments(BytesView key, std::vector<Bytes>& value);
  void names(BytesView key, std::vector<Bytes>& value);
  void paths(BytesView key, std::vector<Bytes>& value);
  void patterns(BytesView key, std::vector<Bytes>& value);
  void environment(BytesView key, std::map<Bytes, Bytes>& value);
  void pairs(BytesView key, std::map<Bytes, Bytes>& value);
  void optional_pairs(BytesView key, std::map<Bytes, Bytes>& value) {
    if (has(key)) pairs(key, value);
  }
  void log_files(BytesView key, std::vector<LogRequest>& value);
  void output(BytesView key, OutputMode& value, bool may_merge = false);
  void exit_status(std::optional<int>& code, std::optional<int>& signal);
  void file_info(std::optional<FileInfo>& value);

  /// Fails if the box has a key that was not read.
  void require_all_read();

  template <class T>
  Result<T> finish(T value) {
    if (failure_) return std::move(*failure_);
    return value;
  }

 private:
  [[nodiscard]] bool has(BytesView key) const { return box_.has(key); }
  [[nodiscard]] std::optional<BytesView> get(BytesView key);
  BytesView required(BytesView key);
  std::uint64_t number_from(BytesView key, std::uint64_t min, std::uint64_t max);
  std::int64_t signed_number(BytesView key);
  void milliseconds(BytesView key, std::uint64_t min, std::chrono::milliseconds& value);
  std::vector<Bytes> elements(BytesView key);
  void fail(BytesView key, std::string_view what);

  const Box& box_;
  std::bitset<64> read_;  // which fields of the box were read, of the first 64: no message has more
  std::optional<Failure> failure_;
};

template <class Message>
Box to_box(const Message& message) {
  FieldWriter writer;
  Message::describe(writer, message);
  return std::move(writer).box();
}

/// For boxes from a peer: fails with invalid_argument (BAD_ARGUMENT on the wire) and a message that names the key.
/// Unknown keys are ignored.
template <class Message>
Result<Message> from_box(const Box& box) {
  FieldReader reader(box);
  Message message;
  Message::describe(reader, message);
  return reader.finish(std::move(message));
}

/// For requests of a peer: as from_box(), but fails if there is an unknown key, because a request without one of its
/// options would be another request.
template <class Request>
Result<Request> request_from_box(const Box& box) {
  FieldReader reader(box);
  Request request;
  Request::describe(reader, request);
  reader.require_all_read();
  return reader.finish(std::move(request));
}

}  // namespace remsh::operations
