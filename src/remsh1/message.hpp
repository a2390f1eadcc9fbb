// The messages of remsh 1, the protocol of the original remsh, to and from boxes. No I/O. See docs/remsh1.md.
#pragma once

#include "base/result.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/connection/box.hpp>
#include <remsh/connection/box_codec.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace remsh::remsh1 {

/// The largest box that we accept: an answer to getenv has a field for each variable.
inline constexpr BoxLimits limits{4 * 1024 * 1024, 4096};

/// The most data in one data box, and the longest value: remsh 1 never splits a value.
inline constexpr std::size_t max_data = Box::max_value;

/// The longest name of an environment variable, which is sent as the key "env_NAME".
inline constexpr std::string_view env_prefix = "env_";
inline constexpr std::size_t max_env_name = Box::max_key - env_prefix.size();

/// The slave's first box, which is not a call. Other keys have no meaning.
struct Register {
  Bytes hostname;
  std::uint64_t version = 1;

  [[nodiscard]] Box to_box() const;
  static Result<Register> from_box(const Box& box);

  /// True if the box is marked as one, whatever its other keys.
  static bool is_one(const Box& box) { return box.get("type") == "register"; }
};

/// The master's answer to it, which is not a call either.
[[nodiscard]] Box registered_box();
[[nodiscard]] bool is_registered(const Box& box);

/// A call of either side; `arguments` do not include the keys `_ask` and `_command`. Every call has both keys, even if
/// no answer may follow.
struct Call {
  Bytes tag;
  Bytes command;
  Box arguments = {};

  [[nodiscard]] Box to_box() &&;
};

/// A result; without the key `_answer`.
struct Answer {
  Bytes tag;
  Box results = {};

  [[nodiscard]] Box to_box() &&;
};

/// Why a call failed, in words for people: there are no codes.
struct ErrorAnswer {
  Bytes tag;
  Bytes description;

  [[nodiscard]] Box to_box() &&;
};

/// Any box after the registration.
using Message = std::variant<Call, Answer, ErrorAnswer>;

/// Parses a box: an answer before an error before a call, whatever other keys it has. Fails with protocol_error if it
/// is none of these, or lacks a key of its kind. (The decoder has refused empty boxes and duplicate keys.)
Result<Message> parse(Box box);

/// The tags of one side: decimal, from 1, with one counter for all calls, answered or not. One thread at a time.
class Tags {
 public:
  [[nodiscard]] Bytes next() { return std::to_string(++last_); }

 private:
  std::uint64_t last_ = 0;
};

/// "y" or "n". When reading, any substring of "ny" is a boolean, and only "y" is true, as in the original.
[[nodiscard]] inline Bytes to_boolean(bool value) { return value ? "y" : "n"; }
[[nodiscard]] inline std::optional<bool> from_boolean(BytesView text) {
  if (BytesView("ny").find(text) == BytesView::npos) return std::nullopt;
  return text == "y";
}

/// Arguments joined by zero bytes. The empty text is one empty argument.
[[nodiscard]] Bytes join_args(const std::vector<Bytes>& args);
[[nodiscard]] std::vector<Bytes> split_args(BytesView text);

/// The two outputs of a command.
enum class Stream : std::uint8_t { out, err };
[[nodiscard]] constexpr std::string_view to_string(Stream stream) noexcept {
  return stream == Stream::out ? "stdout" : "stderr";
}
[[nodiscard]] std::optional<Stream> stream_of(BytesView text) noexcept;

/// How a command ended, in the form of Python's `returncode`: -N for signal N.
struct ReturnCode {
  std::optional<int> exit_code = {};
  std::optional<int> signal = {};

  [[nodiscard]] Bytes to_text() const;
  static Result<ReturnCode> from_text(BytesView text);

  friend bool operator==(const ReturnCode&, const ReturnCode&) = default;
};

}  // namespace remsh::remsh1
