// Trace: the boxes of a connection in readable form, for debugging a peer.
#pragma once

#include <remsh/base/export.hpp>
#include <remsh/connection/box.hpp>
#include <remsh/connection/box_codec.hpp>
#include <remsh/transport/transport.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace remsh {

/// A box as one line of keys and values. Only the length is shown of long values, of data, of environments and of
/// values that prove an identity. Unprintable bytes are escaped.
///
///     _ask=1 _command=execute args="make\x00-j8\x00" cwd=project out=stream
REMSH_API std::string to_string(const Box& box);
REMSH_API std::string to_string(const BoxView& box);

/// One box on its way, or the end of a stream.
struct TraceRecord {
  std::chrono::system_clock::time_point time = {};
  bool sent = false;  ///< true: sent by this side; false: received
  std::string peer;   ///< the connection's description: "tcp 127.0.0.1:40112"
  std::string text;   ///< see to_string(); one line
};

/// The record as a line without the newline: "12:30:01.123456 tcp 127.0.0.1:40112 > _ask=1 _command=stat path=/tmp".
/// Times are UTC; > means sent, < means received.
REMSH_API std::string to_string(const TraceRecord& record);

/// Called by the thread that reads or writes, in order for each direction. It must be thread-safe, should be quick, and
/// must not call the library. An empty hook disables tracing and costs nothing.
using TraceHook = std::function<void(const TraceRecord&)>;

/// A transport that calls the hook with every box that passes through it. Returns `transport` itself if the hook is
/// empty.
REMSH_API std::unique_ptr<Transport> traced(std::unique_ptr<Transport> transport, TraceHook hook);

}  // namespace remsh
