// Calls, answers, errors and stream boxes, to bytes. docs/protocol.md sections 2, 5, 6 and 8.
#pragma once

#include "base/result.hpp"
#include "connection/box_data.hpp"
#include "rpc/stream.hpp"

#include <remsh/base/bytes.hpp>
#include <remsh/connection/box.hpp>
#include <remsh/connection/box_codec.hpp>

#include <cstdint>
#include <optional>

namespace remsh::rpc {

/// The bytes of a call or an answer: the envelope merged with the fields of `content`, long values split. Fails with
/// too_large if one box cannot hold it, with invalid_argument if a key is not allowed.
Result<void> encode_call(Bytes& out, BytesView command, BytesView tag, bool has_op, const Box& arguments);
Result<void> encode_answer(Bytes& out, BytesView tag, const Box& results);
void encode_error(Bytes& out, BytesView tag, const Failure& failure);

/// Turns the block of the data into a data box.
void frame_data(BoxData& data, BytesView op, StreamName stream, std::optional<std::uint64_t> total,
                const PieceMarks& marks = {});

void encode_end(Bytes& out, BytesView op, StreamName stream);
void encode_credit(Bytes& out, BytesView op, StreamName stream, std::uint64_t bytes);
void encode_cancel(Bytes& out, BytesView op);

/// Our tags: a count from 1 in lower-case hex. parse_tag() accepts nothing else.
Bytes make_tag(std::uint64_t number);
std::optional<std::uint64_t> parse_tag(BytesView text) noexcept;

/// What is sent as `_error_code`, and what a received one means.
Bytes error_code(const Failure& failure);
Failure failure_of(BytesView code, BytesView description);

}  // namespace remsh::rpc
