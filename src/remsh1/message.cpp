#include "remsh1/message.hpp"

#include "base/decimal.hpp"
#include "base/format.hpp"
#include "base/text.hpp"

#include <charconv>
#include <system_error>

namespace remsh::remsh1 {

namespace {

/// Moves the value of a key out of a box.
Bytes take(Box& box, BytesView key) {
  Bytes value(box.get(key).value_or(BytesView()));
  box.erase(key);
  return value;
}

}  // namespace

Box Register::to_box() const {
  return Box{{"hostname", hostname}, {"type", "register"}, {"version", Decimal(version)}};
}

Result<Register> Register::from_box(const Box& box) {
  if (!is_one(box)) return breach("the first box is not of the type 'register'");
  const auto hostname = box.get("hostname");
  if (!hostname) return breach("the register box has no key 'hostname'");
  const auto version = from_decimal(box.get("version").value_or(BytesView()));
  if (!version) return breach("the register box has no number at the key 'version'");
  return Register{Bytes(*hostname), *version};
}

Box registered_box() { return Box{{"type", "registered"}}; }

bool is_registered(const Box& box) { return box.get("type") == "registered"; }

Box Call::to_box() && {
  Box box{{"_ask", tag}, {"_command", command}};
  for (const auto& [key, value] : arguments) box.set(key, value);  // which are behind these two
  return box;
}

Box Answer::to_box() && {
  results.set("_answer", std::move(tag));
  return std::move(results);
}

Box ErrorAnswer::to_box() && {
  return Box{{"_error", tag}, {"_error_code", "0"}, {"_error_description", BytesView(description).substr(0, max_data)}};
}

Result<Message> parse(Box box) {
  if (box.has("_answer")) {
    Bytes tag = take(box, "_answer");
    return Message(Answer{std::move(tag), std::move(box)});
  }
  if (box.has("_error")) {
    if (!box.has("_error_description")) return breach("an error has no key '_error_description'");
    return Message(ErrorAnswer{take(box, "_error"), take(box, "_error_description")});
  }
  if (!box.has("_command")) return breach("a box is neither a call nor an answer nor an error");
  if (!box.has("_ask")) return breach("a call has no key '_ask'");
  Bytes tag = take(box, "_ask");
  Bytes command = take(box, "_command");
  return Message(Call{std::move(tag), std::move(command), std::move(box)});
}

Bytes join_args(const std::vector<Bytes>& args) {
  Bytes joined;
  bool is_first = true;
  for (const Bytes& arg : args) {
    if (!is_first) joined.push_back('\0');
    is_first = false;
    joined += arg;
  }
  return joined;
}

std::vector<Bytes> split_args(BytesView text) {
  std::vector<Bytes> args;
  for (;;) {
    const auto end = text.find('\0');
    args.emplace_back(text.substr(0, end));
    if (end == BytesView::npos) return args;
    text.remove_prefix(end + 1);
  }
}

std::optional<Stream> stream_of(BytesView text) noexcept {
  for (const Stream stream : {Stream::out, Stream::err}) {
    if (text == to_string(stream)) return stream;
  }
  return std::nullopt;
}

Bytes ReturnCode::to_text() const {
  if (signal) return formatted("-{}", *signal);
  return std::to_string(exit_code.value_or(0));
}

Result<ReturnCode> ReturnCode::from_text(BytesView text) {
  int value = 0;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || at != end || value < -127 || value > 255) {
    return breach(
        formatted("the result of a command is {}, which is no number of its kind", in_quotes(text.substr(0, 32))));
  }
  if (value < 0) return ReturnCode{std::nullopt, -value};
  return ReturnCode{value, std::nullopt};
}

}  // namespace remsh::remsh1
