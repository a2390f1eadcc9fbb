#include "rpc/message.hpp"

#include "base/big_endian.hpp"
#include "base/decimal.hpp"
#include "base/errno_name.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "connection/long_value.hpp"

#include <array>
#include <cassert>
#include <charconv>
#include <span>
#include <string>

namespace remsh::rpc {

namespace {

using Field = BoxView::Field;

/// The longest description of an error that we send or keep.
constexpr std::size_t max_description = 4096;

struct CodeName {
  Errc code;
  std::string_view name;
};
constexpr std::array<CodeName, 5> code_names{{
    {Errc::unsupported, "UNHANDLED"},
    {Errc::invalid_argument, "BAD_ARGUMENT"},
    {Errc::too_large, "TOO_LARGE"},
    {Errc::busy, "BUSY"},
    {Errc::cancelled, "CANCELLED"},
}};

/// Writes the fields of two ascending sequences in ascending order.
Result<void> merge(Bytes& out, std::span<const Field> envelope, const Box& content, BoxLimits limits) {
  const std::size_t fields = envelope.size() + content.size();
  std::size_t size = encoded_size(content);
  for (const Field& field : envelope) size += encoded_size(field.key, field.value);
  if (size > limits.bytes || fields > limits.fields) {
    return Failure{Errc::too_large,
                   formatted("{} bytes in {} fields; a call holds at most {} bytes in {} fields: send a file instead",
                             size, fields, limits.bytes, limits.fields),
                   0};
  }
  const std::size_t before = out.size();
  out.resize(before + size);  // the last two bytes, which end the box, are zero from here on
  char* to = out.data() + before;
  auto next = envelope.begin();
  for (const auto& [key, value] : content) {
    for (; next != envelope.end() && next->key < key; ++next) to = BoxWriter::write(to, next->key, next->value);
    if (next != envelope.end() && next->key == key) {
      return Failure{Errc::invalid_argument, formatted("the key {} has a meaning of its own", in_quotes(key)), 0};
    }
    to = BoxWriter::write(to, key, value);
  }
  for (; next != envelope.end(); ++next) to = BoxWriter::write(to, next->key, next->value);
  assert(to + 2 == out.data() + out.size());
  return {};
}

Result<void> merge_long(Bytes& out, std::span<const Field> envelope, const Box& content, BoxLimits limits) {
  if (!has_long_value(content)) return merge(out, envelope, content, limits);
  const auto split = split_long_values(content, limits);
  if (!split) return split.failure();
  return merge(out, envelope, *split, limits);
}

}  // namespace

Result<void> encode_call(Bytes& out, BytesView command, BytesView tag, bool has_op, const Box& arguments) {
  const std::array<Field, 3> envelope{{{"_ask", tag}, {"_command", command}, {"op", tag}}};
  return merge_long(out, std::span(envelope).first(has_op ? 3 : 2), arguments, call_limits);
}

Result<void> encode_answer(Bytes& out, BytesView tag, const Box& results) {
  for (const auto& [key, value] : results) {
    if (key.front() == '_' || key.find('~') != BytesView::npos) {
      return Failure{Errc::invalid_argument, formatted("a result cannot have the key {}", in_quotes(key)), 0};
    }
  }
  const std::array<Field, 1> envelope{{{"_answer", tag}}};
  return merge_long(out, envelope, results, {});
}

void encode_error(Bytes& out, BytesView tag, const Failure& failure) {
  const BytesView description = failure.message;
  BoxWriter(out)
      .field("_error", tag)
      .field("_error_code", error_code(failure))
      .field("_error_description", description.substr(0, max_description))
      .end();
}

void frame_data(BoxData& data, BytesView op, StreamName stream, std::optional<std::uint64_t> total,
                const PieceMarks& marks) {
  assert(data.count() > 0 && data.count() <= Block::max_payload);
  Bytes header;
  BoxWriter(header).field("_command", "data");
  if (marks.at) BoxWriter(header).field("at", Decimal(*marks.at));
  header.append("\0\4data", 6);
  append_big_endian(header, data.count(), 2);
  Bytes trailer;
  BoxWriter writer(trailer);
  if (marks.log) writer.field("log", Decimal(*marks.log));
  writer.field("op", op).field("stream", to_string(stream));
  if (total) writer.field("total", Decimal(*total));
  if (data.is_compressed()) writer.field("zstd", Decimal(data.restored()));
  writer.end();
  data.block().frame(header, data.count(), trailer);
}

void encode_end(Bytes& out, BytesView op, StreamName stream) {
  BoxWriter(out).field("_command", "end").field("op", op).field("stream", to_string(stream)).end();
}

void encode_credit(Bytes& out, BytesView op, StreamName stream, std::uint64_t bytes) {
  BoxWriter(out)
      .field("_command", "credit")
      .field("bytes", Decimal(bytes))
      .field("op", op)
      .field("stream", to_string(stream))
      .end();
}

void encode_cancel(Bytes& out, BytesView op) { BoxWriter(out).field("_command", "cancel").field("op", op).end(); }

Bytes make_tag(std::uint64_t number) {
  std::array<char, 16> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number, 16).ptr;
  return Bytes(text.data(), end);
}

std::optional<std::uint64_t> parse_tag(BytesView text) noexcept {
  if (text.empty() || text.size() > 16 || text.front() == '0') return std::nullopt;
  std::uint64_t number = 0;
  for (const char c : text) {
    if (c >= '0' && c <= '9') {
      number = number << 4U | static_cast<std::uint64_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      number = number << 4U | static_cast<std::uint64_t>(c - 'a' + 10);
    } else {
      return std::nullopt;
    }
  }
  return number;
}

Bytes error_code(const Failure& failure) {
  if (failure.os != 0) {
    if (const auto name = errno_name(failure.os); !name.empty()) return Bytes(name);
  }
  for (const auto& [code, name] : code_names) {
    if (failure.code == code) return Bytes(name);
  }
  return "FAILED";
}

Failure failure_of(BytesView code, BytesView description) {
  Failure failure{Errc::remote_failure, Bytes(description.substr(0, max_description)), 0};
  for (const auto& [known, name] : code_names) {
    if (code == name) failure.code = known;
  }
  if (code.starts_with('E')) {
    failure.code = Errc::os_error;
    failure.os = errno_value(code);
    if (failure.os == 0) failure.message += " (" + escaped(code.substr(0, 32)) + ")";
  }
  return failure;
}

}  // namespace remsh::rpc
