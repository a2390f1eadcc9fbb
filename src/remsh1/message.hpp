// The messages of remsh 1, the protocol of the original remsh: to and from boxes. No I/O. docs/remsh1.md says more.
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

/// What either side may make the other hold for one box: an answer to getenv has a field for each variable.
inline constexpr BoxLimits limits{4 * 1024 * 1024, 4096};

/// The most data in one data box, and the longest value at all: nothing is ever cut in two.
inline constexpr std::size_t max_data = Box::max_value;

/// The longest name of an environment variable, which travels as the key "env_NAME".
inline constexpr std::string_view env_prefix = "env_";
inline constexpr std::size_t max_env_name = Box::max_key - env_prefix.size();

/// The slave's first box, which is no call. Other keys than these mean nothing.
struct Register {
  Bytes hostname;
  std::uint64_t version = 1;

  [[nodiscard]] Box to_box() const;
  static Result<Register> from_box(const Box& box);

  /// It says that it is one, whatever else is in it.
  static bool is_one(const Box& box) { return box.get("type") == "register"; }
};

/// The master's answer to it, which is none either.
[[nodiscard]] Box registered_box();
[[nodiscard]] bool is_registered(const Box& box);

/// A call, of either side; the arguments do not have the keys `_ask` and `_command`. Both keys are on every call, also
/// where no answer may follow.
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

/// What a box is: an answer before an error before a call, whatever other keys it has. Fails with protocol_error where
/// it is none of these, or lacks a key of its kind. (The decoder has refused empty boxes and keys that come twice.)
Result<Message> parse(Box box);

/// The tags of one side: decimal, from 1, one counter for all calls, answered or not. One thread at a time.
class Tags {
 public:
  [[nodiscard]] Bytes next() { return std::to_string(++last_); }

 private:
  std::uint64_t last_ = 0;
};

/// "y" or "n". When reading, any substring of "ny" is a boolean, and only "y" is true: so the original has it.
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

/// How a command ended, as Python's `returncode` has it: -N for signal N.
struct ReturnCode {
  std::optional<int> exit_code = {};
  std::optional<int> signal = {};

  [[nodiscard]] Bytes to_text() const;
  static Result<ReturnCode> from_text(BytesView text);

  friend bool operator==(const ReturnCode&, const ReturnCode&) = default;
};

}  // namespace remsh::remsh1
