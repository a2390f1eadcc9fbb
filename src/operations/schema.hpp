// Requests and replies of each operation, to and from boxes; both sides use it. docs/protocol.md section 7.
//
// A box here holds arguments or results alone: `_command`, `_ask`, `_answer` and `op` are added by rpc, which also cuts
// and joins long values. from_box() is for bytes of a peer: it fails with invalid_argument (the BAD_ARGUMENT of the
// wire) and a sentence that names the key; unknown keys are ignored.
#pragma once

#include "base/decimal.hpp"
#include "base/result.hpp"

#include <remsh/connection/box.hpp>
#include <remsh/operations/filesystem.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace remsh::operations {

/// A list as on the wire: every element followed by a zero byte. Elements must not contain one.
Bytes join_list(const std::vector<Bytes>& elements);
Result<std::vector<Bytes>> split_list(BytesView text);

using remsh::from_decimal;
using remsh::to_decimal;

struct SetCwdRequest {
  std::optional<Bytes> path;
  [[nodiscard]] Box to_box() const;
  static Result<SetCwdRequest> from_box(const Box& box);
};
struct SetCwdReply {
  Bytes path;
  [[nodiscard]] Box to_box() const;
  static Result<SetCwdReply> from_box(const Box& box);
};

struct GetenvReply {
  std::map<Bytes, Bytes> env;
  [[nodiscard]] Box to_box() const;
  static Result<GetenvReply> from_box(const Box& box);
};

struct InfoReply {
  std::map<Bytes, Bytes> files;
  [[nodiscard]] Box to_box() const;
  static Result<InfoReply> from_box(const Box& box);
};

struct MkdirRequest {
  Bytes path;
  std::optional<std::uint32_t> mode;
  [[nodiscard]] Box to_box() const;
  static Result<MkdirRequest> from_box(const Box& box);
};

struct RemoveRequest {
  Bytes path;
  [[nodiscard]] Box to_box() const;
  static Result<RemoveRequest> from_box(const Box& box);
};

/// Of rename and of copy.
struct TwoPathsRequest {
  Bytes from;
  Bytes to;
  bool overwrite = false;
  bool durable = true;
  [[nodiscard]] Box to_box() const;
  static Result<TwoPathsRequest> from_box(const Box& box);
};

struct StatRequest {
  Bytes path;
  bool nofollow = false;
  [[nodiscard]] Box to_box() const;
  static Result<StatRequest> from_box(const Box& box);
};
struct StatReply {
  std::optional<FileInfo> info;  ///< none: missing
  [[nodiscard]] Box to_box() const;
  static Result<StatReply> from_box(const Box& box);
};

/// What becomes of one of a command's outputs.
enum class OutputMode : std::uint8_t { discard, stream, merge };

struct ExecuteCommand {
  std::vector<Bytes> args;
  Bytes cwd;                   ///< empty: the session's directory
  std::vector<Bytes> set_env;  ///< NAME=value
  std::vector<Bytes> unset_env;
  bool clear_env = false;
  std::chrono::milliseconds timeout{0};  ///< 0: none
  std::chrono::milliseconds kill_after{2000};
  bool in = false;
  OutputMode out = OutputMode::discard;  ///< never merge
  OutputMode err = OutputMode::discard;
  [[nodiscard]] Box to_box() const;
  static Result<ExecuteCommand> from_box(const Box& box);
};
struct ExecuteReply {
  std::optional<int> exit_code;  ///< exactly one of these two is set
  std::optional<int> signal;
  bool timed_out = false;
  bool background = false;
  [[nodiscard]] Box to_box() const;
  static Result<ExecuteReply> from_box(const Box& box);
};

struct SendRequest {
  Bytes path;
  bool overwrite = false;
  std::uint32_t mode = 0644;
  bool durable = true;
  [[nodiscard]] Box to_box() const;
  static Result<SendRequest> from_box(const Box& box);
};
struct SendReply {
  std::uint64_t bytes = 0;
  [[nodiscard]] Box to_box() const;
  static Result<SendReply> from_box(const Box& box);
};

struct FetchRequest {
  Bytes path;
  [[nodiscard]] Box to_box() const;
  static Result<FetchRequest> from_box(const Box& box);
};
struct FetchReply {
  std::uint64_t bytes = 0;
  std::uint32_t mode = 0644;
  [[nodiscard]] Box to_box() const;
  static Result<FetchReply> from_box(const Box& box);
};

}  // namespace remsh::operations
