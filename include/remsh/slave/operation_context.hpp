// OperationContext: one call of an operation of your own, as the slave runs it.
#pragma once

#include <remsh/base/bytes.hpp>
#include <remsh/base/export.hpp>
#include <remsh/connection/box.hpp>

#include <functional>
#include <stop_token>

namespace remsh {

/// One call of an operation of your own: its arguments, its directory, its streams, and whether it is still wanted.
///
///     remsh::Box upper_case(remsh::OperationContext& context) {
///       std::size_t count = 0;
///       for (auto piece = context.read(); !piece.empty(); piece = context.read()) {
///         remsh::Bytes text(piece);
///         for (char& c : text) c = to_upper(c);
///         context.write(text);
///         count += text.size();
///       }
///       return {{"bytes", std::to_string(count)}};
///     }
///
/// Valid until the operation returns. The operation runs in a thread that may block. Thread-safe, except that only one
/// thread at a time may read, and only one may write.
class REMSH_API OperationContext {
 public:
  virtual ~OperationContext() = default;

  [[nodiscard]] virtual const Box& arguments() const = 0;

  /// The base directory of the slave.
  [[nodiscard]] virtual const Bytes& basedir() const = 0;

  /// The directory in which the operation should work, and in which its relative paths begin: the one in the caller's
  /// options, the directory of its Workspace, or the session's directory, as set by set_cwd(). An absolute path; the
  /// directory existed when the operation began. It is not the current directory of the process.
  [[nodiscard]] virtual const Bytes& cwd() const = 0;

  /// True as soon as the caller no longer wants the result: its deadline has passed, the call was cancelled, or the
  /// connection has ended. The result of the operation is then dropped.
  [[nodiscard]] virtual bool cancelled() const = 0;

  /// A token that is stopped when cancelled() becomes true, for functions that take one. Its callbacks run on a thread
  /// for operations and may block; they must not throw.
  [[nodiscard]] virtual std::stop_token stop_token() = 0;

  /// Waits for the next piece of the caller's input (OwnOperationOptions::in); empty at its end, and at once if the
  /// caller sends nothing. The view is valid until the next call. Throws Cancelled when cancelled() becomes true.
  [[nodiscard]] virtual BytesView read() = 0;

  /// Sends bytes to the caller (OwnOperationOptions::out); drops them if the caller discards them. Waits until the
  /// caller has consumed most of what was sent before. Throws Cancelled when cancelled() becomes true.
  virtual void write(BytesView bytes) = 0;
};

/// An operation of your own: arguments and input in, output and results out. An exception becomes a RemoteError in the
/// master, with remote_failure and its what(); a std::system_error with an error of the system becomes one with
/// os_error.
using Operation = std::function<Box(OperationContext&)>;

}  // namespace remsh
