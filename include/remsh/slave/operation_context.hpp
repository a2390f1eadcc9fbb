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
/// It lives until the operation returns, which runs on a thread that may block. Thread-safe, except that only one
/// thread at a time may read, and one write.
class REMSH_API OperationContext {
 public:
  virtual ~OperationContext() = default;

  [[nodiscard]] virtual const Box& arguments() const = 0;

  /// The base directory of the slave.
  [[nodiscard]] virtual const Bytes& basedir() const = 0;

  /// The directory in which the caller wants the operation to work, where its relative paths begin: what the caller
  /// says in its options, the directory of its Workspace, or that of the session, as set_cwd() sets it. An absolute
  /// path; the directory was there when the operation began. The current directory of the process is another one.
  [[nodiscard]] virtual const Bytes& cwd() const = 0;

  /// True as soon as the caller does not want the result any more: its deadline has passed, it was cancelled, or the
  /// connection has ended. Then nobody gets what the operation returns.
  [[nodiscard]] virtual bool cancelled() const = 0;

  /// A token that is stopped when cancelled() becomes true, for functions that take one. Its callbacks run on a thread
  /// for operations and may block; they must not throw.
  [[nodiscard]] virtual std::stop_token stop_token() = 0;

  /// The next piece of what the caller sends (OwnOperationOptions::in); empty at its end, and at once if the caller
  /// sends nothing. Valid until the next call. Waits for it; throws Cancelled when cancelled() becomes true.
  [[nodiscard]] virtual BytesView read() = 0;

  /// Sends bytes to the caller (OwnOperationOptions::out); drops them if the caller does not want any. Waits until the
  /// caller has used up most of what was sent before; throws Cancelled when cancelled() becomes true.
  virtual void write(BytesView bytes) = 0;
};

/// An operation of your own: arguments and input in, output and results out. An exception becomes the master's
/// RemoteError with remote_failure and its what(), a std::system_error of the system one with os_error.
using Operation = std::function<Box(OperationContext&)>;

}  // namespace remsh
